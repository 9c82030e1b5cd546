"""Several prefills reported as one: one after the other, or side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence

from longctx.types import Progress, ProgressCallback


class Meter:
    """Counts tokens over many prompts and reports them as one prefill.

    Args:
        callback: what to call; None reports nothing.
        total_tokens: of all prompts together.
    """

    def __init__(self, callback: ProgressCallback | None, total_tokens: int) -> None:
        self._callback = callback
        self._total = total_tokens
        self._begun = 0
        self._started = time.monotonic()

    def prompt(self, n_tokens: int) -> ProgressCallback:
        """Begin the next prompt (the one before is done), and take its own progress.

        A prefill that finds part of the prompt in the cache counts that part as done.
        """
        begun = self._begun
        self.tell(begun)
        self._begun += n_tokens

        def report(progress: Progress) -> None:
            self.tell(begun + n_tokens - progress.total_tokens + progress.done_tokens)

        return report

    def finish(self) -> None:
        """Say that all is done."""
        self.tell(self._total)

    def tell(self, done: int) -> None:
        """Say how many tokens of all are done."""
        if self._callback is not None:
            elapsed = time.monotonic() - self._started
            self._callback(Progress(done_tokens=done, total_tokens=self._total, elapsed_s=elapsed))


class SideBySideMeter:
    """Counts the tokens of prompts that are prefilled at the same time.

    Args:
        callback: what to call; None reports nothing.
        lengths: tokens of each prompt.
    """

    def __init__(self, callback: ProgressCallback | None, lengths: Sequence[int]) -> None:
        self._callback = callback
        self._lengths = lengths
        self._done = [0] * len(lengths)
        self._started = time.monotonic()

    def tell(self, i: int, progress: Progress) -> None:
        """Prompt ``i`` has come so far; what it found in the cache counts as done."""
        cached = self._lengths[i] - progress.total_tokens
        self._done[i] = max(self._done[i], cached + progress.done_tokens)
        if self._callback is not None:
            elapsed = time.monotonic() - self._started
            self._callback(
                Progress(
                    done_tokens=sum(self._done),
                    total_tokens=sum(self._lengths),
                    elapsed_s=elapsed,
                )
            )
