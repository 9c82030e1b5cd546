"""Texts found again by words and by meaning: full-text index and vectors in a SQLite file."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.protocols import Embedder
from longctx.search.database import Database, Row
from longctx.search.embedders import SentenceTransformersEmbedder, identity_of, kept_or_computed
from longctx.search.fusion import fused
from longctx.search.vectors import VECTOR_TABLES, Vector, VectorTable
from longctx.search.words import asks_little, words_of

MAX_CHARACTERS = 400
"""Of a passage: what is found is shown whole, and a small window must bear a few."""
MAX_EMBEDDED = 250
"""Passages of one text that have vectors; words find the rest of a longer one."""
_TOGETHER = 500  # SQLite takes so many values in one statement, in any version
_MAX_WORDS = 64  # of a query: more than a question has, and each is looked up by itself

_TABLES = (
    """CREATE TABLE passages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, place INTEGER NOT NULL,
        number INTEGER NOT NULL, text TEXT NOT NULL
    )""",
    "CREATE INDEX passages_by_place ON passages (owner, place)",
    *VECTOR_TABLES,
)
# No content: the passages have it. Stems are English; both sides have them, so other languages
# lose little. Vowels of Indic scripts are marks. The name goes up with what words are: an index
# must be told what to forget in the words that it was told, and one of others is made anew.
INDEX = "words_2"
_INDEX_TABLE = f"""CREATE VIRTUAL TABLE {INDEX} USING fts5(
    text, content='',
    tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* M* Co' tokenchars '_'"
)"""
_OLDER_INDEXES = ("words",)


@dataclass(frozen=True)
class Match:
    """A passage, and how well it fits a query.

    Attributes:
        place: of the text that it is of.
        text: the passage, verbatim.
        score: what passages are ordered by.
        coverage: share of the query's words that it has, rare words counting more.
        similarity: the cosine of the two embeddings; 0 without an embedder.
    """

    place: int
    text: str
    score: float
    coverage: float
    similarity: float


class PassageIndex:
    """The texts of one owner, each at its place, in a file that may hold those of others.

    Args:
        database: the file; the tables are made where they are missing.
        owner: of the texts.
        embedder: finds by meaning as well; None finds by words alone.
    """

    def __init__(self, database: Database, owner: str, embedder: Embedder | None = None) -> None:
        self._database = database
        self._owner = owner
        self._embedder = embedder
        self._table: VectorTable | None = None
        self._vectors: dict[int, Vector] = {}
        self._held: list[str] | None = None
        self._known: Row = ()
        self._lock = threading.Lock()
        with database.writing():
            if not self._has("passages"):
                for statement in _TABLES:
                    database.rows(statement)
            if not self._has(INDEX):
                self._make_index()

    def hold(self, texts: Sequence[str]) -> None:
        """Hold these texts and no others; what is held already costs nothing.

        Args:
            texts: by place.
        """
        with self._lock:
            # Another connection may have changed it, and the owner be forgotten.
            if self._held is None or self._state() != self._known:
                self._held, self._known = self._read(), self._state()
                self._vectors.clear()
            same = 0
            for old, new in zip(self._held, texts, strict=False):
                if old is not new and old != new:
                    break
                same += 1
            if same == len(self._held) == len(texts):
                return
            with self._database.writing():
                self._remove("AND place >= ?", [same])
                for place, text in enumerate(texts[same:], same):
                    self._add(place, text)
            self._held, self._known = list(texts), self._state()

    def forget(self) -> None:
        """Hold nothing."""
        with self._lock, self._database.writing():
            self._remove("", [])
            self._held = None

    def find(self, query: str, n: int) -> list[Match]:
        """The n passages that fit a query best, the best first and of equals the newest.

        Without an embedder, only those that share a word with it.
        """
        every = "SELECT id FROM passages WHERE owner = ? ORDER BY id"
        ids = [row[0] for row in self._database.rows(every, [self._owner])]
        if not ids:
            return []
        coverage = self._coverage(query, ids)
        similarity = np.zeros(len(ids), dtype=np.float32)
        score = coverage.astype(np.float64)
        if self._embedder is not None:
            similarity = self._similarity(query, ids)
            score = fused(similarity, coverage)
        order = np.lexsort((-np.arange(len(ids)), -score))
        best = [int(i) for i in order if coverage[i] > 0 or similarity[i] > 0][:n]
        rows = self._rows([ids[i] for i in best])
        texts = {number: (place, text) for number, place, _, text in rows}
        return [
            Match(*texts[ids[i]], float(score[i]), float(coverage[i]), float(similarity[i]))
            for i in best
            if ids[i] in texts  # another connection may have forgotten the owner meanwhile
        ]

    # Inside

    def _has(self, table: str) -> bool:
        return bool(self._database.rows("SELECT 1 FROM sqlite_master WHERE name = ?", [table]))

    def _make_index(self) -> None:
        """Of all passages, whoever's they are, in place of one of an earlier version."""
        for older in _OLDER_INDEXES:
            self._database.rows(f"DROP TABLE IF EXISTS {older}")
        self._database.rows(_INDEX_TABLE)
        self._database.run_many(
            f"INSERT INTO {INDEX} (rowid, text) VALUES (?, ?)",
            [
                (number, " ".join(words_of(text)))
                for number, text in self._database.rows("SELECT id, text FROM passages")
            ],
        )

    def _state(self) -> Row:
        """Changes with the passages: numbers are never given twice."""
        return self._database.rows(
            "SELECT count(*), max(id) FROM passages WHERE owner = ?", [self._owner]
        )[0]

    def _read(self) -> list[str]:
        """The texts as they stand in the file."""
        rows = self._database.rows(
            "SELECT place, text FROM passages WHERE owner = ? ORDER BY place, number",
            [self._owner],
        )
        texts = [""] * (rows[-1][0] + 1 if rows else 0)
        for place, text in rows:
            texts[place] += text
        return texts

    def _add(self, place: int, text: str) -> None:
        for number, passage in enumerate(passages_of(text)):
            self._database.rows(
                "INSERT INTO passages (owner, place, number, text) VALUES (?, ?, ?, ?)",
                [self._owner, place, number, passage],
            )
            self._database.rows(
                f"INSERT INTO {INDEX} (rowid, text) VALUES (last_insert_rowid(), ?)",
                [" ".join(words_of(passage))],
            )

    def _remove(self, condition: str, values: Sequence[int]) -> None:
        where = f"WHERE owner = ? {condition}"
        found = [self._owner, *values]
        rows = self._database.rows(f"SELECT id, text FROM passages {where}", found)
        # A full-text index without content is told what to forget.
        self._database.run_many(
            f"INSERT INTO {INDEX} ({INDEX}, rowid, text) VALUES ('delete', ?, ?)",
            [(number, " ".join(words_of(text))) for number, text in rows],
        )
        self._database.rows(f"DELETE FROM passages {where}", found)

    def _coverage(self, query: str, ids: Sequence[int]) -> NDArray[np.float32]:
        at = {number: i for i, number in enumerate(ids)}
        covered = np.zeros(len(ids), dtype=np.float32)
        whole = 0.0
        for word in list(dict.fromkeys(words_of(query)))[:_MAX_WORDS]:
            rows = self._database.rows(
                f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?", [f'"{word}"']
            )
            having = [at[row] for (row,) in rows if row in at]
            if not having and asks_little(word):
                continue
            # BM25's weight: a word that few have says more.
            weight = math.log1p((len(ids) - len(having) + 0.5) / (len(having) + 0.5))
            whole += weight
            covered[having] += weight
        return covered / np.float32(whole) if whole else covered

    def _similarity(self, query: str, ids: Sequence[int]) -> NDArray[np.float32]:
        assert self._embedder is not None  # asked by find
        embedder = self._embedder
        if self._table is None:
            self._table = VectorTable(self._database, identity_of(embedder))
        # The model's own cache of vectors would be a second one beside this file.
        compute = embedder.embed
        if isinstance(embedder, SentenceTransformersEmbedder):
            compute = embedder.compute
        missing = [i for i in ids if i not in self._vectors]
        rows = [row for row in self._rows(missing) if row[2] < MAX_EMBEDDED]
        vectors = kept_or_computed(self._table, [row[3] for row in rows], compute)
        self._vectors.update(zip((row[0] for row in rows), vectors, strict=True))
        asked = embedder.embed([query])[0]
        nothing = np.zeros_like(asked)
        self._vectors.update((i, nothing) for i in missing if i not in self._vectors)
        similarity: Vector = np.stack([self._vectors[i] for i in ids]) @ asked
        return similarity

    def _rows(self, ids: Sequence[int]) -> list[Row]:
        rows: list[Row] = []
        for begin in range(0, len(ids), _TOGETHER):
            part = ids[begin : begin + _TOGETHER]
            rows += self._database.rows(
                "SELECT id, place, number, text FROM passages"
                f" WHERE id IN ({', '.join('?' * len(part))})",
                part,
            )
        return rows


def passages_of(text: str, size: int = MAX_CHARACTERS) -> Iterator[str]:
    """Cut a text where a line, a sentence or a word ends; together the passages are the text.

    Examples:
        >>> list(passages_of("One two. Three four.", size=12))
        ['One two. ', 'Three four.']
    """
    start = 0
    while start < len(text):
        end = _end(text, start, min(len(text), start + size))
        yield text[start:end]
        start = end


def _end(text: str, start: int, most: int) -> int:
    if most == len(text):
        return most
    least = (start + most) // 2
    marks: tuple[tuple[str, Callable[[int], int]], ...] = (
        ("\n", lambda at: at + 1), (". ", lambda at: at + 2), ("\u3002", lambda at: at + 1),
        ("\u0964", lambda at: at + 1), (" ", lambda at: at + 1),
    )  # fmt: skip
    for mark, behind in marks:
        at = text.rfind(mark, least, most)
        if at >= 0:
            return behind(at)
    return most
