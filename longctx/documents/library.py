"""The documents of a :class:`DocumentQA`: added, replaced, removed, searched, kept on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from longctx.documents.chunks import CHUNK_TOKENS, Chunk, chunks_of
from longctx.documents.document import Document
from longctx.documents.entry import Entry, mark_of
from longctx.documents.holdings import Holdings
from longctx.documents.layout import document_block
from longctx.documents.library_file import Cut, LibraryFile
from longctx.documents.ranking import Found, Ranking
from longctx.documents.shelf import Incoming, Put, Shelf
from longctx.files import hash_parts
from longctx.protocols import Embedder
from longctx.search.embedders import SentenceTransformersEmbedder, identity_of
from longctx.search.vectors import Vector, VectorsInMemory, VectorStore
from longctx.types import Progress, ProgressCallback

Count: TypeAlias = Callable[[str], int]

_EMBEDDED_TOGETHER = 32
# Tokenizers that agree on how many tokens each of these is are taken for one.
_PROBES = (
    "Until delivery the seller bears the risk of 480,000 euros.", "def f(x):\n\t\treturn x ** 2\n",
    "Überweisungsträger, façade, señor, łódź", "Сколько стоит билет на поезд?",
    "价格是四十八万欧元。", "価格はいくらですか。", "كم السعر؟", "0123456789 3.14159265358979",
    "<|im_end|> </s> [INST]", "antidisestablishmentarianism zyzzyva", "\n\n\n\n    \t\t  ",
    "😀👩‍👩‍👧",
)  # fmt: skip


class Library:
    """Documents in the order in which they were added; what is derived from them is kept.

    Several threads may share one, and, with a ``path``, several processes: what one writes, the
    others see at their next question. A question is asked of the :class:`Holdings` of a moment.

    Args:
        count: tokens of a text.
        embedder: loaded when a ranking is first asked for.
        path: a file to keep it in; None is memory.

    Raises:
        DocumentError: the file is no library, damaged, or cannot be opened.
    """

    def __init__(self, count: Count, embedder: Embedder, path: Path | None = None) -> None:
        self._count = count
        self._embedder = embedder
        self._file = LibraryFile(path, _tokenizer(count)) if path is not None else None
        self._shelf = Shelf(count)
        self._changing = threading.RLock()
        self._ranking: tuple[tuple[Entry, ...], Ranking] | None = None
        self._rank = threading.Lock()
        self._vectors: VectorStore | None = None

    def holdings(self) -> Holdings:
        """What is there now."""
        with self._changing:
            self._refresh()
            return self._shelf.holdings()

    def put(self, incoming: Sequence[Incoming], *, replace: bool) -> Put:
        """Take documents in, all or none.

        Args:
            incoming: in the order in which they get their numbers.
            replace: whether one takes the place, the number and the mark of the one that it is by
                its name or its file; what is the same stays as it is in any case.

        Raises:
            DocumentError: another one has its name, or it is there and is not to be replaced.
            RequestError: its metadata cannot be kept on disk.
        """
        make = _EntryMaker(self._count, at_once=self._file is not None)
        with self._changing:
            if self._file is not None:
                # Counting takes long. So it is done before others are kept from the file; what
                # they write meanwhile changes some numbers, and little has to be counted again.
                self._refresh()
                self._shelf.place(incoming, make, replace=replace)
            with self._writing():
                placed = self._shelf.place(incoming, make, replace=replace)
                if self._file is not None and placed.entries:
                    self._file.write(placed.entries, (), placed.last_number)
            self._shelf.apply(placed.entries, (), placed.last_number)
        return placed.put

    def remove(self, doc_ids: Sequence[str]) -> tuple[Document, ...]:
        """Take documents out, all or none; the marks of the others stay.

        Returns:
            What was removed.

        Raises:
            RequestError: a name is not there.
        """
        with self._changing:
            with self._writing():
                gone = self._shelf.holdings().select(doc_ids)
                numbers = [entry.number for entry in gone]
                if self._file is not None:
                    self._file.write((), numbers, self._shelf.last_number)
            self._shelf.apply((), numbers, self._shelf.last_number)
        return tuple(entry.document for entry in gone)

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
        wanted = tuple(entries)
        with self._rank:
            if self._ranking is None or self._ranking[0] != wanted:
                chunks = [chunk for entry in wanted for chunk in entry.chunks]
                vectors = self._embed(chunks, on_progress)
                self._ranking = wanted, Ranking(chunks, vectors, self._embedder)
            ranking = self._ranking[1]
        return ranking.best_first(question)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Nobody else writes the file until the block ends, and what is there is known."""
        if self._file is None:
            yield
            return
        with self._file.writing():
            self._refresh()
            yield

    def _refresh(self) -> None:
        """Take over what other processes wrote; what they did not change stays the same object."""
        if self._file is None or not self._file.was_changed():
            return
        stored, numbers, last_number = self._file.read()
        make = _EntryMaker(self._count, at_once=True)
        entries, uncut = [], []
        for one in stored:
            if one.cut is None:
                uncut.append(make(one.document, one.number, one.origin))
                entries.append(uncut[-1])
            else:
                cut = one.cut
                entries.append(Entry(one.document, one.number, one.origin, cut.tokens, cut.chunks))
        if uncut:
            self._file.write_cuts(uncut)
        self._shelf.apply(entries, self._shelf.numbers - numbers, last_number)

    def _embed(self, chunks: Sequence[Chunk], on_progress: ProgressCallback | None) -> Vector:
        """Vectors of chunks: those that are kept, and the others, some at a time."""
        started = time.perf_counter()
        store, compute = self._vector_store()
        texts = [chunk.searchable for chunk in chunks]
        rows = store.load(texts)
        missing = {
            text: chunk.tokens
            for text, chunk, row in zip(texts, chunks, rows, strict=True)
            if row is None
        }
        done, total = 0, sum(missing.values())
        new: dict[str, Vector] = {}
        to_do = list(missing)
        for begin in range(0, len(to_do), _EMBEDDED_TOGETHER):
            part = to_do[begin : begin + _EMBEDDED_TOGETHER]
            vectors = compute(part)
            store.save(part, vectors)
            new.update(zip(part, vectors, strict=True))
            done += sum(missing[text] for text in part)
            if on_progress:
                elapsed = time.perf_counter() - started
                on_progress(Progress(done_tokens=done, total_tokens=total, elapsed_s=elapsed))
        return np.stack(
            [new[text] if row is None else row for text, row in zip(texts, rows, strict=True)]
        )

    def _vector_store(self) -> tuple[VectorStore, Callable[[Sequence[str]], Vector]]:
        """Where vectors are kept, and what makes them."""
        if self._file is None:
            self._vectors = self._vectors or VectorsInMemory()
            return self._vectors, self._embedder.embed
        self._vectors = self._vectors or self._file.vectors(identity_of(self._embedder))
        if isinstance(self._embedder, SentenceTransformersEmbedder):
            return self._vectors, self._embedder.compute  # they are kept here, and once
        return self._vectors, self._embedder.embed


class _EntryMaker:
    """Makes entries.

    Args:
        count: tokens of a text.
        at_once: whether documents are cut now, and what was counted is remembered, for as long as
            this lives.
    """

    def __init__(self, count: Count, *, at_once: bool) -> None:
        self._at_once = at_once
        self._count = cache(count) if at_once else count

    def __call__(self, document: Document, number: int, origin: str | None) -> Entry:
        """See :data:`~longctx.documents.shelf.MakeEntry`."""
        tokens = self._count(document_block(document, mark_of(number)).text)
        if self._at_once:
            cut = Cut.of(chunks_of(document, self._count), tokens)
            return Entry(document, number, origin, tokens, cut.chunks)
        return Entry(document, number, origin, tokens, partial(chunks_of, count=self._count))


def _tokenizer(count: Count) -> str:
    """What a tokenizer is known by: how many tokens some texts are, and what they are cut into."""
    counts = ",".join(str(count(text)) for text in _PROBES)
    return hash_parts([f"{CHUNK_TOKENS} {counts}".encode()])[:32]
