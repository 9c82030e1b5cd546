"""Vectors of frequency factors to try, as LongRoPE does (Ding et al. 2024, section 3).

The paper evolves a population over some thousand evaluations, with factors that never fall from
one frequency to the next lower. Minutes on a CPU allow some dozens, so a vector moves here at a
few knots, from one that is known to serve: the factors that the ramp of YaRN implies.

Pure: no model is run here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from longctx.rope import TrainedRope, rope_config

N_KNOTS = 5
_STEPS = (0.3, 0.15)  # of the factor's logarithm
_SAME = 0.02
_LARGEST = 4.0  # times s

Factors = tuple[float, ...]


def starting_factors(rope: TrainedRope, scale: float) -> Factors:
    """λᵢ = θᵢ/θ'ᵢ of YaRN at ``scale``, with the ramp that llama.cpp runs: [n_rot/2]."""
    yarn = rope_config(
        "yarn", scale=scale, n_rot=rope.n_rot, base=rope.base, original_ctx=rope.original_ctx
    )
    return _tidy(rope.frequencies / yarn.frequencies(rope.n_rot), scale)


def next_factors(best: Factors, tried: Collection[Factors], scale: float) -> Factors | None:
    """A neighbour of the best vector that differs from all that were tried; None at the end.

    Args:
        best: divisors [n_rot/2], the best so far.
        tried: all that were measured.
        scale: s.
    """
    for candidate in _neighbours(np.log(best), scale):
        distances = (float(np.abs(np.log(candidate) - np.log(other)).max()) for other in tried)
        if min(distances, default=1.0) > _SAME:
            return candidate
    return None


def _neighbours(logs: NDArray[np.float64], scale: float) -> Iterator[Factors]:
    """One knot up or down, the lowest frequencies first: they are what a long text lacks."""
    places = np.arange(logs.size)
    knots = np.linspace(0, logs.size - 1, N_KNOTS)
    for step in _STEPS:
        for knot in range(N_KNOTS - 1, -1, -1):
            hat = np.interp(places, knots, np.eye(N_KNOTS)[knot])
            for sign in (1, -1):
                yield _tidy(np.exp(logs + sign * step * hat), scale)


def _tidy(factors: NDArray[np.float64], scale: float) -> Factors:
    """Never below 1, never falling towards lower frequencies, rounded to be readable."""
    rising = np.maximum.accumulate(np.clip(factors, 1.0, _LARGEST * scale))
    return tuple(round(float(factor), 4) for factor in rising)
