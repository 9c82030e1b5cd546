"""Which tokens a head keeps: those that are protected, then the best, in the order of the text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def select(
    scores: NDArray[np.float32], protected: NDArray[np.bool_], n_kept: int
) -> NDArray[np.intp]:
    """Choose tokens for each head.

    Args:
        scores: float32[n, n_heads]; what has none (NaN: a key ran over) matters least.
        protected: bool[n], or bool[n, n_heads]: kept whatever they score.
        n_kept: how many, at least as many as are protected.

    Returns:
        int[n_kept, n_heads], indices of tokens, ascending in each column.
    """
    n = len(scores)
    if not 0 <= n_kept <= n:
        raise ValueError(f"{n_kept} of {n} tokens cannot be kept")
    if not n_kept:
        return np.empty((0, scores.shape[1]), np.intp)
    scores = np.fmax(scores, np.float32(-np.inf))
    ranked = np.where(protected.reshape(n, -1), np.float32(np.inf), scores).T.copy()
    least = np.partition(ranked, n - n_kept, axis=1)[:, n - n_kept, None]
    is_kept, is_least = ranked > least, ranked == least
    # The later of two that score the same: text repeats itself, and the end is asked about more.
    left = n_kept - is_kept.sum(axis=1, keepdims=True)
    from_the_end = np.cumsum(is_least[:, ::-1], axis=1)[:, ::-1]
    is_kept |= is_least & (from_the_end <= left)
    chosen: NDArray[np.intp] = np.nonzero(is_kept)[1].reshape(-1, n_kept).T
    return chosen
