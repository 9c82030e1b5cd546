"""What a server asks while it works: for a text of our model's, for the user's word, for folders.

Each is offered where the caller gave what answers it, and otherwise the server is told that it is
not there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field

from longctx import arguments
from longctx.errors import LongCtxError, RequestError
from longctx.files import at_home
from longctx.mcp.call_times import CallTimes
from longctx.mcp.remote import plain, plain_tree, words_of
from longctx.options import ChatOptions
from longctx.protocols import ChatModel
from longctx.types import Completion, Frozen, Message, first_problem

if TYPE_CHECKING:
    from mcp import types
    from mcp.client.session import ClientRequestContext

logger = logging.getLogger("longctx.mcp")
MAX_SAMPLED_TOKENS = 1024
"""Of a text that a server has our model write."""
_LONGEST_MESSAGE = 2_000
_STOP_REASONS = {"length": "maxTokens", "stop": "endTurn"}

IN_CALL: ContextVar[object] = ContextVar("in_call", default=None)
"""In the tasks of a call, what the caller named it by: of whom a server asks."""


class ServerQuestion(Frozen):
    """What a server asks a user, in the middle of a call.

    ``fields`` are the properties of what it wants to know, by their names, as JSON schema has them,
    and ``required`` those that must be answered. With a ``url`` it wants that page to be opened,
    and nothing else; it is opened by nobody but the user.
    """

    server: str
    message: str
    fields: dict[str, dict[str, Any]] = Field(default_factory=dict)
    required: tuple[str, ...] = ()
    url: str | None = None


Ask: TypeAlias = Callable[[ServerQuestion, object], Mapping[str, Any] | None]
"""Answers a question, with what its call was named by: values by the fields' names, or None, which
declines. It may wait; it is called in a thread of its own."""


@dataclass(frozen=True)
class Answers:
    """What is offered to a server.

    Attributes:
        server: its name, for questions.
        roots: folders that it is told of.
        sampling: writes texts for it.
        ask: asks the user.
        times: of calls; they stand still while an answer is sought.
    """

    server: str
    roots: tuple[Path, ...] = ()
    sampling: ChatModel | None = None
    ask: Ask | None = None
    times: CallTimes = field(default_factory=CallTimes)

    @property
    def callbacks(self) -> dict[str, Any]:
        """As the SDK's client takes them; what is not there is not offered."""
        return {
            "list_roots_callback": self._roots if self.roots else None,
            "sampling_callback": self._sample if self.sampling is not None else None,
            "elicitation_callback": self._elicit if self.ask is not None else None,
        }

    async def _roots(self, _: ClientRequestContext) -> types.ListRootsResult:
        from mcp import types
        from pydantic import FileUrl

        roots = [types.Root(uri=FileUrl(root.as_uri()), name=root.name) for root in self.roots]
        return types.ListRootsResult(roots=roots)

    async def _sample(
        self, _: ClientRequestContext, asked: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        from mcp import types

        assert self.sampling is not None  # offered
        if asked.tools:
            return types.ErrorData(code=types.INVALID_PARAMS, message="no tools are offered here")
        said = [Message(role="system", content=plain(asked.system_prompt or ""))]
        for one in asked.messages:
            words = "\n".join(map(words_of, one.content_as_list))
            said.append(Message(role=one.role, content=words))
        options = ChatOptions(max_tokens=max(1, asked.max_tokens))
        if asked.temperature is not None:
            options["temperature"] = asked.temperature
        if asked.stop_sequences:
            options["stop"] = asked.stop_sequences
        try:
            with self.times.standing_still():
                told = said if said[0].content else said[1:]
                written = await _written(self.sampling, told, options)
        except LongCtxError as error:
            return types.ErrorData(code=types.INTERNAL_ERROR, message=str(error))
        stopped = written.stop_sequence is not None
        return types.CreateMessageResult(
            role="assistant",
            content=types.TextContent(type="text", text=written.text),
            model="longctx",
            stop_reason="stopSequence" if stopped else _STOP_REASONS.get(written.finish_reason),
        )

    async def _elicit(
        self, _: ClientRequestContext, asked: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        from anyio import to_thread
        from mcp import types
        from pydantic import ValidationError

        assert self.ask is not None  # offered
        ask, call = self.ask, IN_CALL.get()
        try:
            question = _question(self.server, asked)
            # Whoever is asked may take his time; a call that is given up does not wait for him.
            with self.times.standing_still():
                said = await to_thread.run_sync(lambda: ask(question, call), abandon_on_cancel=True)
            if said is None:
                return types.ElicitResult(action="decline")
            content = None if question.url else dict(said)
            return types.ElicitResult(action="accept", content=content)
        except ValidationError as error:
            why = f"question or answer is none ({first_problem(error, 'it')})"
        except Exception as error:  # the caller's function
            logger.warning("a question of %s was not answered", self.server, exc_info=True)
            why = f"nobody could be asked ({type(error).__name__})"
        return types.ErrorData(code=types.INTERNAL_ERROR, message=why)


def checked_roots(roots: Sequence[str | Path]) -> tuple[Path, ...]:
    """Folders, as a server is told of them.

    Raises:
        RequestError: one is none.
    """
    if isinstance(roots, str | Path) or not isinstance(roots, Iterable):
        raise RequestError(f"roots is {roots!r}; pass a list of folders")
    folders = tuple(at_home(arguments.path("roots", root)).resolve() for root in roots)
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(f"roots names {str(folder)!r}, which is no folder; make it first")
    return folders


async def _written(llm: ChatModel, said: list[Message], options: ChatOptions) -> Completion:
    """A text of the model's; it is given up when the server's call is."""
    from anyio import to_thread

    ended = threading.Event()

    def write() -> Completion:
        # Servers ask for plenty; what does not fit at all is the model's to say.
        room = max(1, llm.target_ctx - llm.count(said))
        options["max_tokens"] = min(options["max_tokens"] or room, MAX_SAMPLED_TOKENS, room)
        with llm.stream_chat(said, **options) as stream:
            for _ in stream:
                if ended.is_set():
                    raise LongCtxError("the call was given up")
            return stream.result

    try:
        return await to_thread.run_sync(write, abandon_on_cancel=True)
    finally:
        ended.set()


def _question(server: str, asked: types.ElicitRequestParams) -> ServerQuestion:
    message = plain(asked.message, _LONGEST_MESSAGE)
    if asked.mode == "url":
        return ServerQuestion(
            server=server, message=message, url=plain(asked.url, _LONGEST_MESSAGE)
        )
    schema = asked.requested_schema
    return ServerQuestion(
        server=server,
        message=message,
        fields=plain_tree(schema.get("properties", {})),
        required=schema.get("required", ()),
    )
