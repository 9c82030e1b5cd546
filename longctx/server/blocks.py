"""An answer as blocks that follow each other: thoughts, text, calls. One is open at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from longctx.server.pieces import pieces_of
from longctx.types import Chunk, Completion, SampledToken

Kind: TypeAlias = Literal["reasoning", "text", "call"]


@dataclass
class Block:
    """What is thought, said, or called, as far as it is written.

    Attributes:
        kind: which of these.
        index: its place among the blocks of the answer.
        call_id: of a call.
        name: of the tool that is called.
        text: thoughts, words, or the arguments of a call as JSON text.
        logprobs: of the words' tokens, where they are asked for.
        state: an answer that breaks off leaves its last block incomplete.
        uid: tells it from all other blocks.
    """

    kind: Kind
    index: int
    call_id: str = ""
    name: str = ""
    text: str = ""
    logprobs: list[SampledToken] = field(default_factory=list)
    state: Literal["in_progress", "completed", "incomplete"] = "in_progress"
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Step:
    """A block begins, goes on by ``text``, or is over."""

    what: Literal["opens", "grows", "closes"]
    block: Block
    text: str = ""
    logprobs: tuple[SampledToken, ...] = ()


class Blocks:
    """Sorts the pieces of an answer into blocks.

    Examples:
        >>> blocks = Blocks()
        >>> [step.what for step in blocks.take(Chunk(text="Yes."))]
        ['opens', 'grows']
        >>> [step.what for step in blocks.end()]
        ['closes']
        >>> blocks.all[0].text
        'Yes.'
    """

    def __init__(self) -> None:
        self.all: list[Block] = []
        self._open: Block | None = None
        self._call = -1  # which of the calls is open

    @classmethod
    def of(cls, result: Completion) -> Blocks:
        """Those of a whole answer."""
        blocks = cls()
        for piece in pieces_of(result):
            for _ in blocks.take(piece):
                pass
        for _ in blocks.end(is_cut=result.finish_reason == "length"):
            pass
        return blocks

    def take(self, piece: Chunk) -> Iterator[Step]:
        """What a piece changes."""
        if piece.reasoning:
            yield from self._open_if_new("reasoning")
            yield self._grow(piece.reasoning)
        if piece.text:
            yield from self._open_if_new("text")
            yield self._grow(piece.text, piece.logprobs)
        for call in piece.tool_calls:
            if call.index != self._call or call.id:
                self._call = call.index
                yield from self._open_new("call", call.id, call.name)
            if call.arguments:
                yield self._grow(call.arguments)

    def end(self, *, is_cut: bool = False) -> Iterator[Step]:
        """There is no more; ``is_cut`` says that there would have been."""
        if self._open is not None:
            self._open.state = "incomplete" if is_cut else "completed"
            yield Step("closes", self._open)
            self._open = None

    def _open_if_new(self, kind: Kind) -> Iterator[Step]:
        if self._open is None or self._open.kind != kind:
            yield from self._open_new(kind)

    def _open_new(self, kind: Kind, call_id: str = "", name: str = "") -> Iterator[Step]:
        yield from self.end()
        self._open = Block(kind, len(self.all), call_id, name)
        self.all.append(self._open)
        yield Step("opens", self._open)

    def _grow(self, text: str, logprobs: tuple[SampledToken, ...] = ()) -> Step:
        assert self._open is not None  # take() has opened it
        self._open.text += text
        self._open.logprobs += logprobs
        return Step("grows", self._open, text, logprobs)
