"""Many conversations in one SQLite file, each step written as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path

from typing_extensions import Unpack

from longctx.agents.agent import Agent
from longctx.agents.archive import Archive
from longctx.agents.conversation import Conversation
from longctx.agents.policies import Policy
from longctx.agents.saved import AgentState, SavedAgent, parse
from longctx.agents.settings import AgentSettings
from longctx.agents.toolbox import ToolLike
from longctx.closing import Closing
from longctx.errors import LongCtxError, SnapshotMismatchError
from longctx.protocols import ChatModel
from longctx.search.database import Database, FileKind
from longctx.search.passages import PassageIndex
from longctx.types import Frozen, Message

_KIND = FileKind(
    1, "file of conversations", "user_version", error=LongCtxError, mismatch=SnapshotMismatchError
)
_TABLES = (
    """create table conversations (
        name text primary key, state text not null, begun text not null, updated text not null
    ) strict""",
    """create table messages (
        conversation text not null references conversations(name) on delete cascade,
        place integer not null, message text not null,
        primary key (conversation, place)
    ) strict, without rowid""",
)


class ConversationInfo(Frozen):
    """One conversation of a store. ``unfinished``: its last run stopped in the middle."""

    name: str
    messages: int
    unfinished: bool
    begun: datetime
    updated: datetime


class ConversationStore(Closing):
    """Conversations in an SQLite file, which outlive the process.

    Every message is on disk before the next one begins: a program killed in the middle of a turn
    finds it in ``agent.unfinished``, and ``agent.resume()`` goes on. Columns ``state`` and
    ``message`` are JSON. Threads and processes may share a file; one conversation should be open
    in one place. The KV cache is not in it: give the model a ``cache_dir``.

    Args:
        path: the file; made when it is missing.

    Raises:
        LongCtxError: it cannot be opened.
        SnapshotMismatchError: it is no such file, or of another version.

    Examples:
        >>> from longctx.testing import ScriptedChatModel
        >>> with ConversationStore(":memory:") as store:
        ...     agent = store.open("anna", ScriptedChatModel(["Hello!"]))
        ...     _ = agent.run("Hi")
        ...     [(info.name, info.messages) for info in store.list()]
        [('anna', 2)]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._database = Database(Path(path), _TABLES, _KIND)
        self._database.rows("pragma foreign_keys = on")
        # The last message is on disk also when the machine stops.
        self._database.rows("pragma synchronous = full")

    def open(
        self,
        name: str,
        llm: ChatModel,
        tools: Sequence[ToolLike] = (),
        system: str | None = None,
        policy: Policy | None = None,
        **settings: Unpack[AgentSettings],
    ) -> Agent:
        """Begin a conversation, or go on with it; from now on the agent writes every step here.

        Args:
            name: of the conversation.
            llm: as all that follow, of :class:`~longctx.agents.Agent`.
            tools: ditto.
            system: of a new conversation; one that exists keeps its own.
            policy: ditto.
            settings: ditto.

        Raises:
            LongCtxError: the file cannot be read or written.
            SnapshotMismatchError: it is damaged.
            ToolError: a tool that the conversation has is not among ``tools``.
        """
        saved = self._read(name)
        agent = Agent(llm, tools, None if saved else system, policy, **settings)
        if saved is not None:
            agent.take_up(saved, f"{self.path}, conversation {name!r}")
        written: Sequence[Message] = saved.messages if saved else ()

        def journal(conversation: Conversation) -> None:
            nonlocal written
            self._write(name, SavedAgent.of(conversation, agent.toolbox), written)
            written = conversation.transcript

        if saved is None:
            journal(agent.conversation)
        agent.journal = journal
        embedder = agent.archive.embedder
        agent.archive = Archive(embedder, PassageIndex(self._database, name, embedder))
        return agent

    def list(self) -> list[ConversationInfo]:
        """All conversations, the one used last first."""
        query = (
            "select name, begun, updated, coalesce(json_extract(state, '$.finished'), 0), "
            "(select count(*) from messages where conversation = name) "
            "from conversations order by updated desc, name"
        )
        return [
            ConversationInfo(
                name=name, begun=begun, updated=updated, messages=n, unfinished=finished < n
            )
            for name, begun, updated, finished, n in self._database.rows(query)
        ]

    def delete(self, name: str) -> None:
        """Forget a conversation, if there is one of this name."""
        with self._database.writing():
            self._database.rows("delete from conversations where name = ?", [name])
            PassageIndex(self._database, name).forget()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    # Inside

    def _read(self, name: str) -> SavedAgent | None:
        with self._database.reading():
            states = self._database.rows("select state from conversations where name = ?", [name])
            rows = self._database.rows(
                "select message from messages where conversation = ? order by place", [name]
            )
        if not states:
            return None
        source = f"{self.path}, conversation {name!r},"
        state = parse(AgentState, states[0][0], source)
        messages = tuple(parse(Message, message, source) for (message,) in rows)
        return SavedAgent(**dict(state), messages=messages)

    def _write(self, name: str, saved: SavedAgent, written: Sequence[Message]) -> None:
        """Write what is new: transcripts only get longer, or lose an unfinished run's end."""
        pairs = zip(written, saved.messages, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], pairs))
        now = datetime.now(timezone.utc).isoformat()
        state = saved.model_dump_json(exclude={"messages"}, exclude_none=True)
        with self._database.writing():
            self._database.rows(
                "insert into conversations values (?, ?, ?, ?) on conflict (name) "
                "do update set state = excluded.state, updated = excluded.updated",
                [name, state, now, now],
            )
            held = "select count(*) from messages where conversation = ?"
            if self._database.rows(held, [name])[0][0] < same:
                same = 0  # deleted in the meantime
            self._database.rows(
                "delete from messages where conversation = ? and place >= ?", [name, same]
            )
            self._database.run_many(
                "insert into messages values (?, ?, ?)",
                [
                    (name, place, message.model_dump_json(exclude_defaults=True))
                    for place, message in enumerate(saved.messages[same:], same)
                ],
            )
