"""How much each cached token matters to each KV head: one signature, so that methods compare.

A score takes one layer's un-rotated keys, float32[n, n_head_kv, head_dim] in the order of the
text, and returns float32[n, n_head_kv]; what scores highest is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.float32]
Scores = NDArray[np.float32]
Score = Callable[[Keys], Scores]

POOLED = 5
"""Tokens over which a score is averaged: a fact is worth nothing without its neighbours."""


def keydiff(keys: Keys) -> Scores:
    """How unlike the mean of all keys a key is (KeyDiff, Park et al. 2025, section 3).

    On un-rotated keys, where theirs are rotated: position alone then makes no key distinct. And
    pooled, which theirs are not.
    """
    if not len(keys):
        return np.zeros(keys.shape[:2], dtype=np.float32)
    tiny = np.finfo(np.float32).tiny
    # The directions are never written down: sums over them are sums over keys, divided by lengths.
    shorter = 1 / np.maximum(np.sqrt(np.einsum("nhd,nhd->nh", keys, keys)), tiny)
    anchor = np.einsum("nhd,nh->hd", keys, shorter)
    anchor /= np.maximum(np.linalg.norm(anchor, axis=1, keepdims=True), tiny)
    return pooled(-shorter * np.einsum("nhd,hd->nh", keys, anchor))


def latest(keys: Keys) -> Scores:
    """The later, the more: what is kept behind the sinks is StreamingLLM's window."""
    n, n_heads = keys.shape[:2]
    ranks = np.arange(n, dtype=np.float32)
    return np.repeat(ranks[:, None], n_heads, axis=1)


def evenly(keys: Keys) -> Scores:
    """The same tokens for every head, as far apart as they can be: what no score at all keeps."""
    n, n_heads = keys.shape[:2]
    # Van der Corput's sequence: however many of its first are taken, they are spread evenly.
    index, spread, digit = np.arange(n), np.zeros(n, dtype=np.float32), 0.5
    while index.any():
        spread += digit * (index & 1).astype(np.float32)
        index >>= 1
        digit /= 2
    return np.repeat(-spread[:, None], n_heads, axis=1)


SCORES: Mapping[str, Score] = {"keydiff": keydiff, "latest": latest, "evenly": evenly}
"""By name: what is used, and the baselines that it is measured against."""


def pooled(scores: Scores, n: int = POOLED) -> Scores:
    """The mean over ``n`` neighbours, fewer at the ends."""
    before = n // 2
    after = n - 1 - before
    sums, counts = scores.copy(), np.ones((len(scores), 1), dtype=np.float32)
    for values, into in ((scores, sums), (np.ones_like(counts), counts)):
        for k in range(1, before + 1):
            into[k:] += values[:-k]
        for k in range(1, after + 1):
            into[:-k] += values[k:]
    sums /= counts
    return sums
