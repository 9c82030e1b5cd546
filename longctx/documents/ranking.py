"""Which chunks answer a question: by meaning, by words, and both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longctx.documents.chunks import Chunk
from longctx.errors import MissingExtraError
from longctx.protocols import Embedder
from longctx.search.fusion import fused
from longctx.search.words import words_of

if TYPE_CHECKING:
    from bm25s import BM25


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
        self._words = _bm25([_counted(chunk.searchable) for chunk in chunks])

    def best_first(self, question: str) -> list[Found]:
        """All chunks, the best first: reciprocal rank fusion of cosine similarity and BM25.

        A chunk's score is the sum of ``1 / (60 + rank)`` over the two rankings (Cormack, Clarke
        and Büttcher 2009); one that shares no word with the question has no rank by words.
        """
        meaning = self._vectors @ self._embedder.embed([question])[0]
        words = np.asarray(self._words.get_scores(_counted(question)), dtype=np.float32)
        score = fused(meaning, words)
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


def _counted(text: str) -> list[str]:
    # A word of its own for texts without any: the library takes no empty list.
    return words_of(text) or ["\n"]
