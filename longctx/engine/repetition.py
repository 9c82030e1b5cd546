"""Tells when an answer says the same over and over, and would to the end of its room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_PERIOD = 256


class Repetition:
    """Watches an answer's tokens for a period that repeats."""

    def __init__(self, *, min_tokens: int = 128, min_repeats: int = 6) -> None:
        periods = np.arange(1, MAX_PERIOD + 1)
        self._needed = np.maximum(min_tokens, min_repeats * periods) - periods
        self._runs: NDArray[np.int64] = np.zeros(MAX_PERIOD, np.int64)
        self._recent: NDArray[np.int64] = np.full(MAX_PERIOD, -1, np.int64)

    def take(self, token: int) -> bool:
        """Take the next token; whether the answer repeats itself by now."""
        self._runs += 1
        self._runs *= self._recent == token
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = token
        return bool((self._runs >= self._needed).any())


HELD_TO_A_FORM = {"min_tokens": 1024, "min_repeats": 16}
