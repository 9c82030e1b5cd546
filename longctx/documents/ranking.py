"""Which chunks answer a question: by meaning, by words, and both together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longctx.documents.chunks import Chunk
from longctx.errors import MissingExtraError
from longctx.protocols import Embedder

if TYPE_CHECKING:
    from bm25s import BM25

RRF_K = 60
"""The constant of reciprocal rank fusion that Cormack et al. (2009) found best."""

# Chinese, Japanese and Korean part no words: each character is one.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


@dataclass(frozen=True)
class Found:
    """A chunk, and how well it fits a question.

    ``similarity`` is the cosine of the two embeddings; ``score`` is what chunks were ordered by.
    """

    chunk: Chunk
    score: float
    similarity: float


class Ranking:
    """Chunks of some documents, ready to be searched.

    Args:
        chunks: at least one.
        vectors: float32[len(chunks), dim], rows of length 1.
        embedder: that made them.

    Raises:
        MissingExtraError: bm25s is not installed.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        embedder: Embedder,
    ) -> None:
        self._chunks = chunks
        self._vectors = vectors
        self._embedder = embedder
        self._words = _bm25([words_of(chunk.searchable) for chunk in chunks])

    def best_first(self, question: str) -> list[Found]:
        """All chunks, the best first: reciprocal rank fusion of cosine similarity and BM25.

        A chunk's score is the sum of ``1 / (60 + rank)`` over the two rankings (Cormack, Clarke
        and Büttcher 2009); one that shares no word with the question has no rank by words.
        """
        meaning = self._vectors @ self._embedder.embed([question])[0]
        words = np.asarray(self._words.get_scores(words_of(question)), dtype=np.float32)
        score = 1 / (RRF_K + _ranks(meaning)) + np.where(words > 0, 1 / (RRF_K + _ranks(words)), 0)
        return [
            Found(self._chunks[i], float(score[i]), float(meaning[i]))
            for i in np.argsort(-score, kind="stable")
        ]


def _bm25(texts: list[list[str]]) -> BM25:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError(
            'to search documents run `pip install "longctx-sdk[rag]"` (it needs bm25s)'
        ) from error
    index = bm25s.BM25()
    index.index(texts, show_progress=False)
    return index


def words_of(text: str) -> list[str]:
    """What BM25 counts: words without capitals, and single characters where none are parted."""
    # A word of its own for texts without any: the library takes no empty list.
    return _WORD.findall(text.casefold()) or ["\n"]


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """1 for the highest score; equal scores have the same rank."""
    return 1 + np.searchsorted(np.sort(-scores), -scores, side="left")
