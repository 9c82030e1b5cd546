"""How many tokens of a prompt a batch takes beside the answers under way (chunked prefill)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from longctx.model_info import ModelInfo

SLICE_TOKENS = 128
"""Of prompts in a batch while others are being answered: more would make these wait longer for
each token, less would prefill more slowly (docs/benchmarks.md)."""
WHOLE_TOKENS = 384
"""Of a small model, a prompt of so many, or with no more left, comes at once: one batch takes a
little less time than three, and who waits for a next token waits once."""
SMALL_WEIGHTS = 200_000_000
"""In the layers of a small model. What a batch takes besides its rows hardly grows with them: of a
larger one, three batches take no longer than one, and a whole prompt seconds (docs/engine.md)."""
SLICE_S = 0.05
"""A machine gets more than that where it reads them in so little time."""
LARGE_BATCH = 64
"""Rows of a batch that says how fast a machine reads; of few, each takes longer."""


class Slices:
    """Shares batches out, and learns from what they took how many tokens the next may have.

    Args:
        info: of the model.
    """

    def __init__(self, info: ModelInfo) -> None:
        self._per_s: deque[float] = deque(maxlen=5)
        is_small = info.n_layer * info.layer_weights <= SMALL_WEIGHTS
        self._whole = WHOLE_TOKENS if is_small else 0

    def record(self, n_rows: int, seconds: float) -> None:
        """Note how long a batch with slices of prompts took."""
        if n_rows >= LARGE_BATCH and seconds > 0:
            self._per_s.append(n_rows / seconds)

    def length(self, n_batch: int) -> int:
        """Tokens of prompts that a batch may have while others wait for their next token."""
        fast = int(median(self._per_s) * SLICE_S) if self._per_s else 0
        return min(n_batch, max(SLICE_TOKENS, fast))

    def shares(self, pending: Sequence[int], n_slice: int, room: int) -> list[int]:
        """Tokens that each prompt gets of a batch.

        A short one comes whole, the oldest first. Beside a long one the shortest come first, for
        they are soon done, and the oldest gets a half of the slice, or it might never be.

        Args:
            pending: tokens that are left of each, the oldest first; none is 0.
            n_slice: about as many shall come in all, but for a short prompt.
            room: more do not go in.
        """
        given = [0] * len(pending)
        left = min(room, n_slice)
        kept = -(-left // 2)  # until the oldest has it
        is_short = [n <= max(self._whole, n_slice) for n in pending]
        for i in sorted(range(len(pending)), key=lambda i: (i > 0 or not is_short[0], pending[i])):
            if i == 0:
                kept = 0
            share = left - kept
            if not share:
                continue
            n = pending[i]
            # A crumb of the slice stays one.
            if not is_short[i] or share < SLICE_TOKENS // 2:
                n = evened(n, share)
            elif n > room - kept and any(given):
                continue  # whole, in the next batch
            given[i] = min(n, room - kept)
            left = max(left - given[i], kept)
            room -= given[i]
        return given


def evened(n_pending: int, share: int) -> int:
    """About ``share`` tokens of a prompt: so many that no small rest is left for a last batch, in
    which each would take longer. At most half as many more."""
    return -(-n_pending // max(1, round(n_pending / share)))
