"""How sure a share of few trials is."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959963984540054


def wilson_interval(hits: float, trials: int, *, z: float = _Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927), by default for 95 %.

    Unlike the normal approximation it is sensible at 0 and at all hits, and for few trials. Where
    trials are shares between 0 and 1, ``hits`` is their sum, and the interval if anything too
    wide: no shares of the same mean vary more than zeros and ones.

    >>> low, high = wilson_interval(10, 10)
    >>> round(low, 3), high
    (0.722, 1.0)
    """
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    total = 1 + z * z / trials
    # At either end the interval ends exactly there; rounding would put it 1e-17 beside it.
    low = 0.0 if hits == 0 else (centre - spread) / total
    high = 1.0 if hits == trials else (centre + spread) / total
    return low, high
