"""A library on disk: documents, how they are cut and counted, and vectors, in a SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from longctx.documents.chunks import Chunk
from longctx.documents.document import Document
from longctx.documents.entry import Entry
from longctx.errors import RequestError
from longctx.search.database import Database, FileKind, Row
from longctx.search.vectors import VECTOR_TABLES, VectorTable, text_key

_KIND = FileKind(0x6C636C31)
_SCHEMA = (
    """CREATE TABLE documents (
        number INTEGER PRIMARY KEY, revision INTEGER NOT NULL, doc_id TEXT NOT NULL UNIQUE,
        origin TEXT, text TEXT NOT NULL, known TEXT NOT NULL
    )""",
    "CREATE INDEX documents_by_revision ON documents (revision)",
    # By the tokenizer that counted: another model cuts the same document elsewhere.
    """CREATE TABLE counts (
        number INTEGER NOT NULL, tokenizer TEXT NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (number, tokenizer)
    )""",
    """CREATE TABLE chunks (
        number INTEGER NOT NULL, tokenizer TEXT NOT NULL, chunk INTEGER NOT NULL,
        start INTEGER NOT NULL, "end" INTEGER NOT NULL, tokens INTEGER NOT NULL,
        text BLOB NOT NULL, PRIMARY KEY (number, tokenizer, chunk)
    ) WITHOUT ROWID""",
    "CREATE INDEX chunks_by_text ON chunks (text)",
    "CREATE TABLE highest (number INTEGER NOT NULL, revision INTEGER NOT NULL)",
    "INSERT INTO highest VALUES (0, 0)",
    *VECTOR_TABLES,
)
_TOGETHER = 500


@dataclass(frozen=True)
class Cut:
    """A document's tokens in the window, and its chunks: (start, end, tokens) of each."""

    tokens: int
    spans: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, chunks: Sequence[Chunk], tokens: int) -> Cut:
        """What these chunks are."""
        return cls(tokens, tuple((c.start, c.end, c.tokens) for c in chunks))

    def chunks(self, document: Document) -> tuple[Chunk, ...]:
        """The chunks of the document that it was made of."""
        return tuple(
            Chunk(document, number, *span) for number, span in enumerate(self.spans, start=1)
        )


@dataclass(frozen=True)
class StoredDocument:
    """A document as it stands in the file; ``cut`` is None where this tokenizer has not."""

    document: Document
    number: int
    origin: str | None
    cut: Cut | None


class LibraryFile:
    """What a library keeps on disk.

    Args:
        path: made where it is not there.
        tokenizer: the identity of what counts tokens.

    Raises:
        DocumentError: it is no such file, damaged, or cannot be opened.
    """

    def __init__(self, path: Path, tokenizer: str) -> None:
        self._database = Database(path, _SCHEMA, _KIND)
        self._tokenizer = tokenizer
        self._revision = -1

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def vectors(self, embedder: str) -> VectorTable:
        """The vectors of the model with some identity."""
        return VectorTable(self._database, embedder)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done inside is done at once, or not at all; no one else writes meanwhile."""
        before = self._revision
        try:
            with self._database.writing():
                yield
        except BaseException:
            self._revision = before
            raise

    def was_changed(self) -> bool:
        """Whether :meth:`read` has something new, from another process."""
        return bool(self._highest()[1] != self._revision)

    def read(self) -> tuple[list[StoredDocument], set[int], int]:
        """What is new.

        Returns:
            The documents that were written since the last time, the numbers of all documents,
            and the highest number that was ever given.
        """
        with self._database.reading():
            last, revision = self._highest()
            numbers = {row[0] for row in self._database.rows("SELECT number FROM documents")}
            rows = self._database.rows(
                "SELECT number, doc_id, origin, text, known FROM documents"
                " WHERE revision > ? ORDER BY number",
                [self._revision],
            )
            cuts = self._cuts([row[0] for row in rows])
        stored = [_stored(row, cuts.get(row[0])) for row in rows]
        self._revision = revision
        return stored, numbers, last

    def write(self, entries: Sequence[Entry], removed: Sequence[int], last_number: int) -> None:
        """Put documents in place of those of the same numbers, and take others out."""
        # Outside: what cannot be written is said before anything is.
        rows = [_row(entry) for entry in entries]
        with self.writing():
            revision = self._highest()[1] + 1
            last = self._highest()[0]
            replaced = [entry.number for entry in entries if entry.number <= last]
            gone = [(number,) for number in (*removed, *replaced)]
            for table in ("documents", "counts", "chunks"):
                self._database.run_many(f"DELETE FROM {table} WHERE number = ?", gone)
            self._database.run_many(
                "INSERT INTO documents (number, doc_id, origin, text, known, revision)"
                f" VALUES (?, ?, ?, ?, ?, {revision})",
                rows,
            )
            self._insert_cuts(entries)
            if replaced or removed:
                unused = "text NOT IN (SELECT text FROM chunks)"
                self._database.rows(f"DELETE FROM vectors WHERE {unused}")
            self._database.rows(
                "UPDATE highest SET number = ?, revision = ?", [last_number, revision]
            )
            self._revision = revision

    def write_cuts(self, entries: Sequence[Entry]) -> None:
        """Keep how documents are cut and counted, of those that still are what they were."""
        with self.writing():
            still = "SELECT 1 FROM documents WHERE (number, doc_id, origin, text, known) IS "
            self._insert_cuts(
                [e for e in entries if self._database.rows(f"{still} (?, ?, ?, ?, ?)", _row(e))]
            )

    def _insert_cuts(self, entries: Sequence[Entry]) -> None:
        self._database.run_many(
            "INSERT OR REPLACE INTO counts VALUES (?, ?, ?)",
            ((entry.number, self._tokenizer, entry.tokens) for entry in entries),
        )
        self._database.run_many(
            "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (entry.number, self._tokenizer, *span, text_key(chunk.searchable))
                for entry in entries
                for chunk in entry.chunks
                for span in [(chunk.number, chunk.start, chunk.end, chunk.tokens)]
            ),
        )

    def _highest(self) -> Row:
        return self._database.rows("SELECT number, revision FROM highest")[0]

    def _cuts(self, numbers: Sequence[int]) -> dict[int, Cut]:
        counts: list[Row] = []
        chunks: list[Row] = []
        for begin in range(0, len(numbers), _TOGETHER):
            part = numbers[begin : begin + _TOGETHER]
            where = f"WHERE tokenizer = ? AND number IN ({', '.join('?' * len(part))})"
            values = [self._tokenizer, *part]
            counts += self._database.rows(f"SELECT number, tokens FROM counts {where}", values)
            chunks += self._database.rows(
                f'SELECT number, start, "end", tokens FROM chunks {where} ORDER BY number, chunk',
                values,
            )
        spans: dict[int, list[tuple[int, int, int]]] = {}
        for number, *span in chunks:
            spans.setdefault(number, []).append((span[0], span[1], span[2]))
        return {number: Cut(tokens, tuple(spans.get(number, ()))) for number, tokens in counts}


def _row(entry: Entry) -> Row:
    document = entry.document
    known = document.model_dump(exclude={"doc_id", "text"}, exclude_defaults=True)
    try:
        encoded = json.dumps(known, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RequestError(
            f"the metadata of {document.doc_id!r} cannot be kept on disk ({error}); use texts, "
            "numbers, lists and dicts of them (a date as its isoformat())"
        ) from error
    return entry.number, document.doc_id, entry.origin, document.text, encoded


def _stored(row: Row, cut: Cut | None) -> StoredDocument:
    number, doc_id, origin, text, known = row
    document = Document(doc_id=doc_id, text=text, **json.loads(known))
    return StoredDocument(document, number, origin, cut)
