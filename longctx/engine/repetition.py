"""Tells when an answer says the same over and over, and would to the end of its room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_PERIOD = 256
"""Tokens of what is repeated, at most: a long paragraph."""
MIN_REPEATS = 6
MIN_TOKENS = 384
"""No text of 6.3 million tokens of Python's sources, documentation and tables of test data repeats
itself so long (of prose and code 162 tokens at most, of tables 349), and 100 zeros in a list are
fewer. docs/sampling.md has the figures."""
MIN_TOKENS_IN_A_FORM = 2048
"""Of an answer that a grammar or schema holds: long arrays of equal values may be asked for, but
white space without end is not."""


class Repetition:
    """Watches an answer's tokens for a period that repeats.

    For each period p it counts for how many tokens in a row the text has been what it was p tokens
    before; a token costs under ten microseconds, whatever the length of the answer.

    Args:
        min_tokens: of the repetition, before it counts as endless.
        min_repeats: of its period, before it counts as endless.
    """

    def __init__(self, *, min_tokens: int = MIN_TOKENS, min_repeats: int = MIN_REPEATS) -> None:
        periods = np.arange(1, MAX_PERIOD + 1)
        # The first time is no repetition yet.
        self._needed = np.maximum(min_tokens, min_repeats * periods) - periods
        self._runs: NDArray[np.int64] = np.zeros(MAX_PERIOD, np.int64)
        self._latest_first: NDArray[np.int64] = np.full(MAX_PERIOD, -1, np.int64)

    def take(self, token: int) -> bool:
        """Take the next token; whether the answer repeats itself without end by now."""
        self._runs += 1
        self._runs *= self._latest_first == token
        self._latest_first[1:] = self._latest_first[:-1]
        self._latest_first[0] = token
        return bool((self._runs >= self._needed).any())
