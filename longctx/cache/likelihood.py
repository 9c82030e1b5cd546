"""Logits to likelihoods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ROWS = 32  # rows at a time: 32 of 49k floats stay near the processor's caches


def negative_log_likelihood(
    logits: NDArray[np.float32], next_ids: Sequence[int] | NDArray[np.int32]
) -> NDArray[np.float32]:
    """Score the tokens that followed.

    Args:
        logits: float32[n, n_vocab], row i predicts ``next_ids[i]``.
        next_ids: at most n token ids; rows beyond them are ignored.

    Returns:
        float32[len(next_ids)], -log softmax(logits)[i, next_ids[i]], in nats.
    """
    targets = np.asarray(next_ids, dtype=np.int64)
    out = np.empty(len(targets), dtype=np.float32)
    for begin in range(0, len(targets), _ROWS):
        ids = targets[begin : begin + _ROWS]
        rows = logits[begin : begin + len(ids)]
        peak = rows.max(axis=1)
        total = np.exp(rows - peak[:, None]).sum(axis=1)
        out[begin : begin + len(ids)] = peak + np.log(total) - rows[np.arange(len(ids)), ids]
    return out
