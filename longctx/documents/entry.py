"""A document of a library, with what is derived from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from longctx.documents.chunks import Chunk
from longctx.documents.document import Document
from longctx.documents.layout import Block, document_block


@dataclass(frozen=True, eq=False)  # what is derived from two is not the same
class Entry:
    """A document, whole, as it stands in the window.

    ``number`` is its place, and its own for ever: that of a document that was removed is not
    given again. ``origin`` is the file that it was read from, wherever the process runs.
    ``tokens`` counts its block by itself; ``cut`` makes its chunks.
    """

    document: Document
    number: int
    origin: str | None
    tokens: int
    cut: Callable[[Document], tuple[Chunk, ...]]

    @property
    def doc_id(self) -> str:
        """The document's."""
        return self.document.doc_id

    @cached_property
    def block(self) -> Block:
        """The document between its markers."""
        return document_block(self.document, mark_of(self.number))

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """The document in pieces."""
        return self.cut(self.document)


def mark_of(number: int) -> str:
    """What answers cite the document by."""
    return f"D{number}"
