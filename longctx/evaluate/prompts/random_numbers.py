"""Random numbers that a seed decides, so that a measure can be made again."""

from __future__ import annotations

from typing import Any

import numpy as np

from longctx.arguments import whole


def generator(seed: Any) -> np.random.Generator:
    """Random numbers of a seed.

    Raises:
        RequestError: the seed is no whole number from 0.
    """
    return np.random.default_rng(whole("seed", seed, least=0))
