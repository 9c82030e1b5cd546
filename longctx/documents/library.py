"""The documents of a :class:`DocumentQA`: their marks, blocks, chunks and vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.documents.chunks import Chunk, chunks_of
from longctx.documents.document import Document
from longctx.documents.layout import Block, document_block
from longctx.documents.packing import joined
from longctx.documents.ranking import Found, Ranking
from longctx.errors import DocumentError, RequestError
from longctx.protocols import Embedder
from longctx.types import Progress, ProgressCallback

_EMBEDDED_TOGETHER = 64


@dataclass(frozen=True)
class Entry:
    """A document, whole, as it stands in the window: ``tokens`` counts its block by itself."""

    document: Document
    block: Block
    tokens: int

    @property
    def doc_id(self) -> str:
        """The document's."""
        return self.document.doc_id


class Library:
    """Documents in the order in which they were added; what is derived from them is kept.

    Args:
        count: tokens of a text.
        embedder: loaded when a ranking is first asked for.
    """

    def __init__(self, count: Callable[[str], int], embedder: Embedder) -> None:
        self._count = count
        self._embedder = embedder
        self._entries: dict[str, Entry] = {}
        self._chunks: dict[str, tuple[Chunk, ...]] = {}
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._ranking: tuple[tuple[str, ...], Ranking] | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them."""
        return tuple(self._entries.values())

    def add(self, document: Document) -> None:
        """Take a document in; its mark is its number.

        Raises:
            DocumentError: another one has its ``doc_id``.
        """
        if document.doc_id in self._entries:
            raise DocumentError(
                f"there is already a document {document.doc_id!r}; give this one another "
                "doc_id (for a file: add(Path(...), doc_id='...'))"
            )
        block = document_block(document, f"D{len(self._entries) + 1}")
        self._entries[document.doc_id] = Entry(document, block, self._count(block.text))

    def select(self, doc_ids: Sequence[str] | None) -> tuple[Entry, ...]:
        """The named ones, in the order of the library; None is all of them.

        Raises:
            RequestError: it is no list of names, an empty one, or a name is not there.
        """
        if doc_ids is None:
            return self.entries
        if isinstance(doc_ids, str) or not isinstance(doc_ids, Collection) or not doc_ids:
            raise RequestError(f"doc_ids is {doc_ids!r}; give a list of names, or None for all")
        if missing := [name for name in doc_ids if name not in self._entries]:
            known = ", ".join(map(repr, list(self._entries)[:10]))
            raise RequestError(f"there is no document {missing[0]!r}; there are {known}")
        return tuple(entry for entry in self.entries if entry.doc_id in doc_ids)

    def chunks(self, entry: Entry) -> tuple[Chunk, ...]:
        """The document in pieces."""
        if entry.doc_id not in self._chunks:
            self._chunks[entry.doc_id] = chunks_of(entry.document, self._count)
        return self._chunks[entry.doc_id]

    def passages(self, chunks: Iterable[Chunk]) -> list[Block]:
        """Chunks as blocks, in the order of the library, neighbours joined."""
        return joined(chunks, {entry.doc_id: entry.block.mark for entry in self.entries})

    def tokens(self, block: Block) -> int:
        """Tokens of a block: counted whole when its document was added; of a passage, those of
        its chunks and of its markers, each counted by itself."""
        entry = self._entries[block.document.doc_id]
        if block is entry.block:
            return entry.tokens
        inside = (c.tokens for c in self.chunks(entry) if block.start <= c.start < block.end)
        return sum(inside) + self._count(block.markers)

    def found(
        self,
        entries: Sequence[Entry],
        question: str,
        on_progress: ProgressCallback | None = None,
    ) -> list[Found]:
        """The chunks of some documents, the best for a question first.

        Args:
            entries: the documents.
            question: in plain words.
            on_progress: called with the tokens that are embedded, of those that must be.
        """
        names = tuple(entry.doc_id for entry in entries)
        if self._ranking is None or self._ranking[0] != names:
            chunks = [chunk for entry in entries for chunk in self.chunks(entry)]
            vectors = self._embed(entries, on_progress)
            self._ranking = names, Ranking(chunks, vectors, self._embedder)
        return self._ranking[1].best_first(question)

    def ranked(self, entries: Sequence[Entry], question: str) -> list[Chunk]:
        """The chunks alone, the best first."""
        return [found.chunk for found in self.found(entries, question)]

    def _embed(
        self, entries: Sequence[Entry], on_progress: ProgressCallback | None
    ) -> NDArray[np.float32]:
        """Vectors of all chunks; each document's are kept, and computed some at a time."""
        started = time.perf_counter()
        missing = [entry for entry in entries if entry.doc_id not in self._vectors]
        total = sum(chunk.tokens for entry in missing for chunk in self.chunks(entry))
        done = 0
        for entry in missing:
            rows = []
            chunks = self.chunks(entry)
            for begin in range(0, len(chunks), _EMBEDDED_TOGETHER):
                part = chunks[begin : begin + _EMBEDDED_TOGETHER]
                rows.append(self._embedder.embed([chunk.searchable for chunk in part]))
                done += sum(chunk.tokens for chunk in part)
                if on_progress:
                    elapsed = time.perf_counter() - started
                    on_progress(Progress(done_tokens=done, total_tokens=total, elapsed_s=elapsed))
            self._vectors[entry.doc_id] = np.concatenate(rows)
        return np.concatenate([self._vectors[entry.doc_id] for entry in entries])
