"""How many tokens of a prompt a batch takes beside the answers under way (chunked prefill)."""

from __future__ import annotations

from collections import deque
from statistics import median

SLICE_TOKENS = 128
"""Of prompts in a batch while others are being answered: more would make these wait longer for
each token, less would prefill more slowly (docs/benchmarks.md)."""
SLICE_S = 0.05
"""A machine gets more than that where it reads them in so little time."""
LARGE_BATCH = 64
"""Rows of a batch that says how fast a machine reads; of few, each takes longer."""


class Slices:
    """Learns from what batches took how many tokens the next may have."""

    def __init__(self) -> None:
        self._per_s: deque[float] = deque(maxlen=5)

    def record(self, n_rows: int, seconds: float) -> None:
        """Note how long a batch with slices of prompts took."""
        if n_rows >= LARGE_BATCH and seconds > 0:
            self._per_s.append(n_rows / seconds)

    def length(self, n_batch: int) -> int:
        """Tokens of prompts that a batch may have while others wait for their next token."""
        fast = int(median(self._per_s) * SLICE_S) if self._per_s else 0
        return min(n_batch, max(SLICE_TOKENS, fast))


def evened(n_pending: int, share: int) -> int:
    """About ``share`` tokens of a prompt: so many that no small rest is left for a last batch, in
    which each would take longer. At most half as many more."""
    return -(-n_pending // max(1, round(n_pending / share)))
