"""Which tokens a head keeps: those that are protected, then the best, in the order of the text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def select(
    scores: NDArray[np.float32], protected: NDArray[np.bool_], n_kept: int
) -> NDArray[np.intp]:
    """Choose tokens for each head.

    Args:
        scores: float32[n, n_heads].
        protected: bool[n], or bool[n, n_heads]: kept whatever they score.
        n_kept: how many, at least as many as are protected.

    Returns:
        int[n_kept, n_heads], indices of tokens, ascending in each column.
    """
    n = len(scores)
    if not 0 <= n_kept <= n:
        raise ValueError(f"{n_kept} of {n} tokens cannot be kept")
    whole = np.broadcast_to(protected.reshape(n, -1), scores.shape)
    ranked = np.where(whole, np.float32(np.inf), scores)
    # The later of two that score the same: text repeats itself, and the end is asked about more.
    order = np.argsort(-ranked[::-1], axis=0, kind="stable")
    chosen: NDArray[np.intp] = np.sort((n - 1 - order)[:n_kept], axis=0)
    return chosen
