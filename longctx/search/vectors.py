"""Embeddings kept by the content that they stand for: in memory, in a library, in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from longctx.errors import DocumentError
from longctx.recent import Recent
from longctx.search.database import Database, FileKind

Vector: TypeAlias = NDArray[np.float32]

MAX_BYTES = 1 << 30
"""Of the vectors in memory, and of those in the user's cache; a library on disk keeps all."""

VECTOR_TABLES = (
    """CREATE TABLE vectors (
        embedder TEXT NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, used INTEGER NOT NULL
    )""",
    "CREATE UNIQUE INDEX vectors_by_text ON vectors (text, embedder)",
)
"""``text`` is its :func:`text_key`, ``used`` the day of its last use."""

_CACHE_KIND = FileKind(0x6C637831, "cache of vectors")
_TOGETHER = 500  # SQLite takes so many values in one statement, in any version
_DAY_S = 86_400


class VectorStore(Protocol):
    """Vectors by text."""

    def load(self, texts: Sequence[str]) -> list[Vector | None]:
        """The vector of each text, None where there is none."""

    def save(self, texts: Sequence[str], vectors: Vector) -> None:
        """Keep the vectors of some texts."""


class VectorsInMemory:
    """A :class:`VectorStore` that lives as long as its owner; the least recently used go."""

    def __init__(self) -> None:
        self._vectors: Recent[bytes, Vector] = Recent(MAX_BYTES, lambda _, row: 100 + row.nbytes)

    def load(self, texts: Sequence[str]) -> list[Vector | None]:
        """See :class:`VectorStore`."""
        return [self._vectors.get(text_key(text)) for text in texts]

    def save(self, texts: Sequence[str], vectors: Vector) -> None:
        """See :class:`VectorStore`."""
        for text, row in zip(texts, vectors, strict=True):
            self._vectors.put(text_key(text), row)


class VectorTable:
    """A :class:`VectorStore` in a database that has ``VECTOR_TABLES``.

    Args:
        database: the file.
        embedder: the identity of the model; vectors of others are not seen.
        notes_use: whether the day of a vector's last use is kept.
    """

    def __init__(self, database: Database, embedder: str, *, notes_use: bool = False) -> None:
        self._database = database
        self._embedder = embedder
        self._notes_use = notes_use

    def load(self, texts: Sequence[str]) -> list[Vector | None]:
        """See :class:`VectorStore`."""
        keys = [text_key(text) for text in texts]
        found: dict[bytes, bytes] = {}
        today = _today()
        for part in _parts(keys):
            where = f"embedder = ? AND text IN ({', '.join('?' * len(part))})"
            rows = self._database.rows(
                f"SELECT text, vector, used FROM vectors WHERE {where}", [self._embedder, *part]
            )
            found.update((key, vector) for key, vector, _ in rows)
            if self._notes_use and any(used < today for *_, used in rows):
                self._database.rows(
                    f"UPDATE vectors SET used = ? WHERE {where}", [today, self._embedder, *part]
                )
        return [_vector(found.get(key)) for key in keys]

    def save(self, texts: Sequence[str], vectors: Vector) -> None:
        """See :class:`VectorStore`."""
        today = _today()
        rows = [
            (self._embedder, text_key(text), row.tobytes(), today)
            for text, row in zip(texts, vectors, strict=True)
        ]
        with self._database.writing():
            self._database.run_many("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)


class VectorCache:
    """A :class:`VectorStore` in a folder of the user's, shared by all libraries and processes.

    The least recently used vectors go when together they pass ``MAX_BYTES``. A folder that cannot
    be written, or a damaged file, keeps nothing: the vectors are computed again.

    Args:
        folder: made at the first use.
        embedder: the identity of the model.
    """

    def __init__(self, folder: Path, embedder: str) -> None:
        self._folder = folder
        self._embedder = embedder
        self._database: Database | None = None

    def load(self, texts: Sequence[str]) -> list[Vector | None]:
        """See :class:`VectorStore`."""
        with contextlib.suppress(DocumentError, OSError):
            return self._table().load(texts)
        return [None] * len(texts)

    def save(self, texts: Sequence[str], vectors: Vector) -> None:
        """See :class:`VectorStore`."""
        with contextlib.suppress(DocumentError, OSError):
            self._table().save(texts, vectors)
            self._trim()

    def _table(self) -> VectorTable:
        if self._database is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._database = Database(self._folder / "vectors.sqlite", VECTOR_TABLES, _CACHE_KIND)
        return VectorTable(self._database, self._embedder, notes_use=True)

    def _trim(self) -> None:
        assert self._database is not None  # it was just written
        pages = "SELECT (page_count - freelist_count) * page_size FROM"
        pragmas = "pragma_page_count, pragma_freelist_count, pragma_page_size"
        while self._database.rows(f"{pages} {pragmas}")[0][0] > MAX_BYTES:
            with self._database.writing():
                n = self._database.rows("SELECT count(*) FROM vectors")[0][0]
                if n < 2:
                    return
                oldest = "SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?"
                self._database.rows(
                    f"DELETE FROM vectors WHERE rowid IN ({oldest})", [max(1, n // 10)]
                )


def text_key(text: str) -> bytes:
    """What a text is found by: half of its SHA-256."""
    return hashlib.sha256(text.encode()).digest()[:16]


def _vector(data: bytes | None) -> Vector | None:
    return None if data is None else np.frombuffer(data, dtype=np.float32)


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for begin in range(0, len(keys), _TOGETHER):
        yield keys[begin : begin + _TOGETHER]


def _today() -> int:
    return int(time.time() // _DAY_S)
