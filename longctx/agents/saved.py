"""An agent's conversation on disk: versioned, readable JSON, written whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import Field, ValidationError

from longctx.agents.conversation import Conversation
from longctx.agents.events import Compacted
from longctx.agents.names import BUILT_IN
from longctx.agents.toolbox import Toolbox
from longctx.agents.view import Shown
from longctx.errors import LongCtxError, SnapshotMismatchError, ToolError
from longctx.files import must_be_file, write_whole
from longctx.types import Frozen, Message, Messages, first_problem

logger = logging.getLogger("longctx")


class AgentState(Frozen):
    """All of an agent but its messages.

    ``tools`` are names only: functions cannot be saved; ``sources`` says which of them a server
    (by its name) had. ``shown`` is what of the messages the
    model is shown (None: all of them). ``finished`` counts the messages of runs that are done
    (None: all of them).
    """

    format: Literal["longctx-agent"] = "longctx-agent"
    version: Literal[1] = 1
    tools: tuple[str, ...]
    sources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    shown: tuple[Shown, ...] | None = None
    pinned: tuple[int, ...] = ()
    finished: int | None = None
    compacted: tuple[Compacted, ...] = ()


class SavedAgent(AgentState):
    """The file's content."""

    messages: tuple[Message, ...]

    @classmethod
    def of(
        cls,
        conversation: Conversation,
        toolbox: Toolbox | None = None,
    ) -> SavedAgent:
        """What is to be saved; the built-in tools come back by themselves."""
        toolbox = toolbox or Toolbox(())
        everything = tuple(Shown(index=i) for i in range(len(conversation.transcript)))
        return cls(
            tools=tuple(name for name in toolbox.tools if name not in BUILT_IN),
            sources=toolbox.names_by_source,
            shown=None if conversation.shown == everything else conversation.shown,
            pinned=tuple(sorted(conversation.pinned)),
            finished=conversation.finished,
            compacted=conversation.compacted,
            messages=conversation.transcript,
        )

    def check_tools(self, toolbox: Toolbox, source: str) -> None:
        """See that the tools are there; a server that is there may have dropped its own.

        Raises:
            ToolError: one is missing.
        """
        here = toolbox.names_by_source
        dropped = {name for one, names in self.sources.items() if one in here for name in names}
        missing = [name for name in self.tools if name not in dropped.union(toolbox.tools)]
        if missing:
            raise ToolError(
                f"the agent saved in {source} has the tools {', '.join(missing)}, which are not "
                "passed; pass them in tools=[...], or take them out of the file's 'tools'"
            )

    def conversation(self) -> Conversation:
        """What was saved.

        Raises:
            SnapshotMismatchError: it speaks of messages that are not there.
        """
        n = len(self.messages)
        shown = self.shown
        if shown is None:
            shown = tuple(Shown(index=place) for place in range(n))
        finished = n if self.finished is None else self.finished
        places = [s.index for s in shown if s.index is not None] + list(self.pinned)
        if not all(0 <= place < n for place in places) or not 0 <= finished <= n:
            raise SnapshotMismatchError(
                f"the saved agent shows or pins messages beyond the {n} that it holds; the file "
                "was changed by hand: take out 'shown', 'pinned' and 'finished' to show them all"
            )
        return Conversation(
            transcript=self.messages,
            shown=shown,
            pinned=frozenset(self.pinned),
            finished=finished,
            compacted=self.compacted,
        )


@runtime_checkable
class KeepsCache(Protocol):
    """A model that can write the KV cache of a conversation to a file."""

    def save_chat(self, path: str | Path, messages: Messages, tools: Any = None) -> int:
        """Write the cache of a conversation; return how many of its tokens are in it."""

    def load_chat(self, path: str | Path) -> int:
        """Take a written cache up again; return its tokens."""


def cache_path(path: Path) -> Path:
    """Where the KV cache of a saved agent lies."""
    return path.with_name(path.name + ".kv")


def load_cache(llm: KeepsCache, path: Path) -> None:
    """Take up a KV cache if there is one that suits; if not, the next turn prefills."""
    if not path.exists():
        return
    try:
        llm.load_chat(path)
    except LongCtxError as error:
        logger.warning("the KV cache in %s is not used, the next turn prefills: %s", path, error)


def write(path: Path, saved: SavedAgent) -> None:
    """Write atomically: a crash leaves the old file or the new one.

    Raises:
        RequestError: there is a folder, a pipe, a device or a read-only file.
        LongCtxError: the folder is missing or cannot be written.
    """
    data = saved.model_dump_json(indent=2, exclude_none=True).encode()
    try:
        write_whole(path, data)
    except OSError as error:
        raise LongCtxError(
            f"{path} cannot be written ({error}); what was there is intact. Choose a folder that "
            "can be written"
        ) from error


def read(path: Path) -> SavedAgent:
    """Read what :func:`write` wrote.

    Raises:
        LongCtxError: the file cannot be read.
        SnapshotMismatchError: it holds no agent, or one of another version.
    """
    try:
        must_be_file(path)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise LongCtxError(f"no saved agent can be read from {path} ({error})") from error
    return parse(SavedAgent, data, str(path))


S = TypeVar("S", bound=Frozen)


def parse(kind: type[S], data: bytes | str, source: str) -> S:
    """Read JSON of this version.

    Raises:
        SnapshotMismatchError: it is something else.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise SnapshotMismatchError(
            f"{source} is no agent saved in format 'longctx-agent' version 1 "
            f"({first_problem(error, 'the file')}); save the agent again with this version of "
            "longctx"
        ) from error
