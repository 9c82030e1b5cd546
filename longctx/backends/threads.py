"""How many threads: all cores for prefill, and for decode what the machine bears just now.

Prefill is compute-bound and gains from every core. Decode synchronises after every small
matrix, so that one core taken by another program holds up all threads; on a shared machine
two threads have been seen at half the speed of one. No rule predicts it, so it is measured
on the tokens that have to be decoded anyway.
"""

from __future__ import annotations

import os
from collections import defaultdict
from statistics import median

import psutil

FEEDING_THREADS = 2
"""Where a GPU has all layers: the processor only looks up embeddings, and more threads would wait
for each other."""


def default_threads() -> int:
    """Physical cores that this process may use, at least 1."""
    cores = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return max(1, min(cores, allowed))


class DecodeThreads:
    """Chooses the thread count of decode by timing real tokens.

    Full and half counts alternate for ``trials`` rounds of ``burst`` tokens; the faster
    median serves the next ``hold`` tokens, then the question is asked again.

    Args:
        n_threads: the count that prefill uses; 1 leaves nothing to choose.
    """

    def __init__(self, n_threads: int, *, burst: int = 3, trials: int = 2, hold: int = 512) -> None:
        self._candidates = [n_threads] if n_threads == 1 else [n_threads, max(1, n_threads // 2)]
        self._burst, self._trials, self._hold = burst, trials, hold
        self._times: dict[int, list[float]] = defaultdict(list)
        self._step = 0
        self._chosen: int | None = n_threads if n_threads == 1 else None

    def current(self) -> int:
        """The thread count for the next token."""
        if self._chosen is not None:
            return self._chosen
        return self._candidates[(self._step // self._burst) % len(self._candidates)]

    def record(self, seconds: float) -> None:
        """Take note of how long the last token took with :meth:`current` threads."""
        if len(self._candidates) == 1:
            return
        self._step += 1
        if self._chosen is not None:
            if self._step >= self._hold:
                self._step, self._chosen = 0, None
                self._times.clear()
            return
        self._times[self._candidates[((self._step - 1) // self._burst) % 2]].append(seconds)
        if self._step == self._burst * self._trials * len(self._candidates):
            self._chosen = min(self._times, key=lambda n: median(self._times[n]))
            self._step = 0
