"""All that was said, to be found again when the window no longer has it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longctx.agents.names import BUILT_IN
from longctx.protocols import Embedder
from longctx.search.database import Database, FileKind
from longctx.search.passages import Match, PassageIndex
from longctx.types import Message

_IN_MEMORY = FileKind(0x6C636131, "archive of a conversation")
_LOOKED_AT = 60
"""Passages that are ordered by who said them: many say the same, or stand in the window."""
_OWN, _ASKING = 0.75, 0.5
"""What a passage counts that the model said itself (it may have been wrong), or that asks."""


@dataclass(frozen=True)
class Passage:
    """A part of an earlier message, verbatim.

    Attributes:
        turn: its number, from 1; a turn is a user's message and what followed.
        source: who said it: ``"user"``, ``"assistant"``, or the tool's name.
        text: as it was.
        fit: share of the query's words that it has, rare words counting more; less for what the
            model said itself, and for questions.
        similarity: to the query by meaning; 0 without an embedder.
    """

    turn: int
    source: str
    text: str
    fit: float
    similarity: float

    def __str__(self) -> str:
        who = "" if self.source == "user" else f", {self.source}"
        return f"[turn {self.turn}{who}] {self.text.strip()}"


class Archive:
    """Finds what was said in a conversation, by words and, with an embedder, by meaning.

    Every message that anyone can have learnt from is held verbatim: the user's, the model's,
    its calls, and what tools returned, documents among them. What it holds follows the transcript
    when something is looked for, so that a process that is killed leaves nothing behind that the
    next one would not find.

    Args:
        embedder: finds by meaning as well; None finds by words alone.
        index: where passages are kept; None is in memory.
    """

    def __init__(self, embedder: Embedder | None = None, index: PassageIndex | None = None) -> None:
        self.embedder = embedder
        self._index = index

    def find(
        self,
        transcript: Sequence[Message],
        query: str,
        n: int,
        *,
        shown: Collection[str] = (),
    ) -> list[Passage]:
        """The n passages that fit best, the best first; of equals the newest.

        What the user and tools said goes before what the model said itself, and both before
        questions. A text that was said several times is found once, where it was said last.

        Args:
            transcript: the whole conversation.
            query: what is looked for.
            n: how many.
            shown: texts that the model has before it; what stands in them is not found.
        """
        matches = [
            (match, _weight(transcript[match.place], match.text))
            for match in self._held(transcript).find(query, _LOOKED_AT)
        ]
        matches.sort(key=lambda pair: (-pair[0].score * pair[1], -pair[0].place))
        turns = list(turns_of(transcript))
        found: dict[str, Passage] = {}
        for match, weight in matches:
            text = match.text.strip()
            if text not in found and not any(text in one for one in shown):
                found[text] = _passage(match, transcript[match.place], turns[match.place], weight)
                if len(found) == n:
                    break
        return list(found.values())

    def _held(self, transcript: Sequence[Message]) -> PassageIndex:
        if self._index is None:
            database = Database(Path(":memory:"), (), _IN_MEMORY)
            self._index = PassageIndex(database, "", self.embedder)
        self._index.hold([text_of(message) for message in transcript])
        return self._index


def text_of(message: Message) -> str:
    """What of a message is held: its words and calls; nothing that stands elsewhere, too."""
    if message.role == "system" or message.name in BUILT_IN:
        return ""
    calls = (
        f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"
        for call in message.tool_calls
        if call.name not in BUILT_IN
    )
    text = "\n".join([*([message.content] if message.content else []), *calls])
    return text.encode("utf-8", "replace").decode()  # SQLite takes no lone surrogates


def turns_of(transcript: Sequence[Message]) -> Iterator[int]:
    """The number of the turn that each message is in, from 1; 0 before the first."""
    turn = 0
    for message in transcript:
        turn += message.role == "user"
        yield turn


def is_told(role: str, text: str) -> bool:
    """Whether a text says something that the model did not say itself, and does not only ask."""
    return role in ("user", "tool") and not _is_question(text)


def _is_question(text: str) -> bool:
    return text.rstrip().endswith(("?", "\uff1f"))


def _weight(message: Message, text: str) -> float:
    own = _OWN if message.role == "assistant" else 1.0
    return own * (_ASKING if _is_question(text) else 1.0)


def _passage(match: Match, message: Message, turn: int, weight: float) -> Passage:
    source = (message.name or "tool") if message.role == "tool" else message.role
    return Passage(turn, source, match.text, weight * match.coverage, match.similarity)
