"""Tells when an answer says the same over and over, and would to the end of its room."""

from __future__ import annotations

from collections import deque

import numpy as np

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

    An answer repeats itself without end when for some period p each of its last n tokens is what
    stood p tokens before it. A token lengthens such a run by one at most, so a look at all periods
    tells how many tokens may come before the next look: most answers are never looked at.

    Args:
        min_tokens: of the repetition, before it counts as endless.
        min_repeats: of its period, before it counts as endless.
    """

    def __init__(self, *, min_tokens: int = MIN_TOKENS, min_repeats: int = MIN_REPEATS) -> None:
        periods = range(1, MAX_PERIOD + 1)
        # The first time is no repetition yet.
        self._needed = [max(min_tokens, min_repeats * period) - period for period in periods]
        self._latest: deque[int] = deque(maxlen=max(min_tokens, min_repeats * MAX_PERIOD))
        self._n_before_look = min(self._needed)

    def take(self, token: int) -> bool:
        """Take the next token; whether the answer repeats itself without end by now."""
        self._latest.append(token)
        self._n_before_look -= 1
        if self._n_before_look > 0:
            return False
        self._n_before_look = self._n_missing()
        return not self._n_before_look

    def _n_missing(self) -> int:
        """Tokens that are missing to an endless repetition, at the least; 0 is one."""
        tokens = np.array(self._latest)
        missing = min(self._needed)
        for period, needed in enumerate(self._needed[: len(tokens) - 1], start=1):
            if tokens[-1] != tokens[-1 - period]:
                continue
            differs = np.flatnonzero(tokens[period:] != tokens[:-period])
            n_same = len(tokens) - period - (int(differs[-1]) + 1 if len(differs) else 0)
            missing = min(missing, max(0, needed - n_same))
        return missing
