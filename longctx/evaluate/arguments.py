"""Arguments of the measures, checked before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

from longctx.errors import PlanError


def check_whole(name: str, value: Any, least: int) -> int:
    """Return a whole number that is large enough.

    Raises:
        PlanError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise PlanError(f"{name} is {value!r}; use a whole number, {least} or more")
    return int(value)


def generator(seed: Any) -> np.random.Generator:
    """Random numbers that a seed decides.

    Raises:
        PlanError: the seed is no whole number from 0.
    """
    return np.random.default_rng(check_whole("seed", seed, 0))
