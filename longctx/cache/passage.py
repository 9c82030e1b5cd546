"""A text prefilled alone, with its keys and values, that can stand anywhere in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.rope import RopeConfig


@dataclass(frozen=True)
class Passage:
    """Token ids, the exported state of their keys and values, and under what those were made.

    ``positions`` is int32[n]; ``state`` is uint8, in llama.cpp's format of one sequence.
    """

    ids: tuple[int, ...]
    rope: RopeConfig
    positions: NDArray[np.int32]
    state: NDArray[np.uint8]
