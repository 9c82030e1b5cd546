"""All that was said, to be found again when the window no longer has it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longctx.agents.background import background_of, own_words
from longctx.agents.names import BUILT_IN
from longctx.protocols import Embedder
from longctx.search.database import Database, FileKind
from longctx.search.passages import PassageIndex
from longctx.search.words import QUESTION_MARKS
from longctx.types import Message

_IN_MEMORY = FileKind(0x6C636131, "archive of a conversation")
_LOOKED_AT = 60
"""Passages that are ordered by who said them: many say the same, or stand in the window."""
_OWN, _ASKING = 0.75, 0.5
"""What a passage counts that the model said itself (it may have been wrong), or that asks."""

_BEHIND_A_SENTENCE = " \t\n\r\"'*_)]\u2019\u201d\u00bb\u300d\u200f\u200e"


@dataclass(frozen=True)
class Part:
    """What of a message is held by itself.

    Attributes:
        place: of the message in the transcript.
        source: as of a :class:`Passage`.
        text: "" where nothing is held.
    """

    place: int
    source: str
    text: str


@dataclass(frozen=True)
class Passage:
    """A part of an earlier message, verbatim.

    Attributes:
        turn: its number, from 1; a turn is a user's message and what followed.
        source: who said it: ``"user"``, ``"assistant"``, or the tool's name; ``"background"`` of
            what was put behind the user's words.
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

    Every message that anyone can have learnt from is held verbatim: the user's, the model's, its
    calls, what tools returned, and what was put behind the user's words, passages of documents
    among them. What it holds follows the transcript when something is looked for, so that a process
    that is killed leaves nothing behind that the next one would not find.

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
        parts = [part for place, said in enumerate(transcript) for part in parts_of(place, said)]
        matches = [
            (match, _weight(parts[match.place].source, match.text))
            for match in self._held(parts).find(query, _LOOKED_AT)
        ]
        matches.sort(key=lambda pair: (-pair[0].score * pair[1], -pair[0].place))
        turns = list(turns_of(transcript))
        found: dict[str, Passage] = {}
        for match, weight in matches:
            text, part = match.text.strip(), parts[match.place]
            if text not in found and not any(text in one for one in shown):
                fit = weight * match.coverage
                turn = turns[part.place]
                found[text] = Passage(turn, part.source, match.text, fit, match.similarity)
                if len(found) == n:
                    break
        return list(found.values())

    def _held(self, parts: Sequence[Part]) -> PassageIndex:
        if self._index is None:
            database = Database(Path(":memory:"), (), _IN_MEMORY)
            self._index = PassageIndex(database, "", self.embedder)
        self._index.hold([part.text for part in parts])
        return self._index


def parts_of(place: int, message: Message) -> list[Part]:
    """The words and calls of a message, and each paragraph that was put behind the user's words:
    the same passage of a document comes with many questions, and is found once."""
    source = (message.name or "tool") if message.role == "tool" else message.role
    behind = background_of(message.content) if message.role == "user" else ""
    paragraphs = (one for one in behind.split("\n\n") if one.strip())
    return [
        Part(place, source, text_of(message)),
        *(Part(place, "background", _storable(one)) for one in paragraphs),
    ]


def text_of(message: Message) -> str:
    """What of a message itself is held: its words and calls; nothing that stands elsewhere, too."""
    if message.role == "system" or message.name in BUILT_IN:
        return ""
    calls = (
        f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"
        for call in message.tool_calls
        if call.name not in BUILT_IN
    )
    words = own_words(message.content) if message.role == "user" else message.content
    return _storable("\n".join([*([words] if words else []), *calls]))


def _storable(text: str) -> str:
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
    return text.rstrip(_BEHIND_A_SENTENCE).endswith(tuple(QUESTION_MARKS))


def _weight(source: str, text: str) -> float:
    own = _OWN if source == "assistant" else 1.0
    return own * (_ASKING if _is_question(text) else 1.0)
