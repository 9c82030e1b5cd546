"""Two rankings made one: reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RRF_K = 60
"""The constant that the authors found best."""


def fused(meaning: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum ``1 / (60 + rank)`` over the two rankings of some texts.

    Args:
        meaning: each text's similarity.
        words: each text's score by words; one that shares none (0) has no rank.
    """
    by_words = np.where(words > 0, 1 / (RRF_K + _ranks(words)), 0)
    return np.asarray(1 / (RRF_K + _ranks(meaning)) + by_words, dtype=np.float64)


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """1 for the highest score; equal scores have the same rank."""
    return 1 + np.searchsorted(np.sort(-scores), -scores, side="left")
