"""How prompts of every protocol are compared: by marks along their text.

Two prompts share a mark where they are the same up to there, whichever protocol each came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from longctx.server.asked import Asked
from longctx.types import Message

PIECE = 512
"""Characters between the marks of a long text; a message's end is always one."""


@dataclass(frozen=True)
class Mark:
    """A place in a prompt.

    Attributes:
        digest: of all that stands before it.
        n_chars: known to whoever has read up to here: an answer that follows was written there.
    """

    digest: bytes
    n_chars: int


def marks_of(asked: Asked) -> tuple[Mark, ...]:
    """Those of what is asked, from its beginning to its end.

    Tools stand before the messages, as most templates show them. Earlier thoughts are left out, as
    templates and many clients do.
    """
    so_far, n_chars = blake2b(digest_size=16), 0
    marks: list[Mark] = []
    for role, text in _parts(asked):
        so_far.update(f"\x00{role}\x00".encode())
        for piece in _pieces(text):
            so_far.update(piece.encode())
            n_chars += len(piece)
            marks.append(Mark(so_far.digest(), n_chars))
        if role == "assistant":
            marks = _known(marks, len(_pieces(text)), n_chars)
    return tuple(marks)


def _known(marks: list[Mark], n_of_answer: int, n_chars: int) -> list[Mark]:
    """Whoever has read what stands before an answer knows the answer, too."""
    before = len(marks) - n_of_answer - 1
    if before < 0:
        return marks
    return [*marks[:before], Mark(marks[before].digest, n_chars), *marks[before + 1 :]]


def _parts(asked: Asked) -> Iterator[tuple[str, str]]:
    if isinstance(asked.text, list):
        yield "ids", " ".join(map(str, asked.text))
        return
    if isinstance(asked.text, str):
        yield "text", asked.text
        return
    if tools := asked.options.get("tools"):
        yield "tools", json.dumps(tools, sort_keys=True)
    for message in asked.messages:
        yield "system" if message.is_system else message.role, _said(message)


def _said(message: Message) -> str:
    calls = [(call.name, call.arguments) for call in message.tool_calls]
    return message.content + (json.dumps(calls, sort_keys=True) if calls else "")


def _pieces(text: str) -> list[str]:
    """At least one, so that an empty message has its mark."""
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)] or [""]
