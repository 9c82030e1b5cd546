"""Time and tokens that training may take, and the refusal of what cannot end in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from longctx.errors import RequestError

LEAST_STEPS = 20
"""Steps below which no training is worth its name."""

JUDGED_AT = 4
"""Steps after which the pace is known; the first one warms up."""


@dataclass(frozen=True)
class Budget:
    """Training ends with its tokens or its seconds, whichever come first; None is no limit.

    Where both are given, the tokens must be reachable in the seconds.
    """

    seconds: float | None
    tokens: int | None

    def done(self, tokens: int, seconds: float) -> float:
        """What is done of the run, 0 to 1: the learning rate follows it."""
        by_time = seconds / self.seconds if self.seconds else 1.0 if self.seconds == 0 else 0.0
        return min(1.0, max(tokens / self.tokens if self.tokens else 0.0, by_time))

    def left_s(self, tokens: int, seconds: float, s_a_token: float) -> float:
        """Seconds to the end at this pace."""
        by_tokens = (self.tokens - tokens) * s_a_token if self.tokens else math.inf
        by_time = self.seconds - seconds if self.seconds is not None else math.inf
        return max(0.0, min(by_tokens, by_time))

    def check(self, step: int, tokens: int, seconds: float, pace_s: float) -> None:
        """Refuse what cannot end.

        Args:
            step: steps that were made.
            tokens: that they were trained on.
            seconds: that they took.
            pace_s: seconds a step.

        Raises:
            RequestError: the seconds do not suffice.
        """
        if self.seconds is None:
            return
        step_tokens = tokens / step
        wanted = LEAST_STEPS * step_tokens if self.tokens is None else self.tokens
        least = seconds + pace_s * max(0.0, wanted - tokens) / step_tokens
        if least <= 1.1 * self.seconds:
            return
        within = int(self.seconds / pace_s * step_tokens)
        advice = (
            f"or train on fewer tokens: {within:,} fit"
            if self.tokens is not None and within >= LEAST_STEPS * step_tokens
            else f"the {within:,} tokens that fit are too few to learn from"
        )
        raise RequestError(
            f"training on {wanted:,.0f} tokens takes {spoken(least)} at "
            f"{step_tokens / pace_s:,.0f} tokens/s, and {spoken(self.seconds)} of the budget are "
            f"left for it; give a larger budget, {advice}"
        )


def spoken(seconds: float) -> str:
    """A time as people say it.

    >>> spoken(8100), spoken(75), spoken(2.5)
    ('2 h 15 min', '1 min 15 s', '2.5 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
