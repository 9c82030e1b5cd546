"""YaRN and NTK-by-parts (Peng et al. 2023).

The paper ramps over r, the rotations that a dimension makes in the trained window (definition 2).
The code that everybody runs, llama.cpp and transformers included, ramps over the dimension's
index i between the dimensions whose r is beta_fast and beta_slow. The two agree at the ends of
the ramp and differ between them. :func:`ntk_by_parts` is the paper's; :func:`yarn` and
:class:`~longctx.rope.RopeConfig` are what runs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from longctx.errors import PlanError
from longctx.rope.frequencies import Scaled, TrainedRope, check_scale, mix_by_rotations

BETA_FAST = 32.0
BETA_SLOW = 1.0


def ntk_by_parts(
    rope: TrainedRope, scale: float, *, beta_fast: float = BETA_FAST, beta_slow: float = BETA_SLOW
) -> Scaled:
    """The paper's ramp over r: θ/s below β_slow rotations, θ above β_fast.

    Source: YaRN, section 3.2, definition 2. No temperature.
    """
    return Scaled(mix_by_rotations(rope, check_scale(scale), beta_slow, beta_fast))


def yarn_attention_factor(scale: float) -> float:
    """0.1·ln s + 1 on queries and keys each (YaRN, equation 22); 1 for s ≤ 1."""
    return 0.1 * math.log(scale) + 1 if scale > 1 else 1.0


def yarn_ramp(
    rope: TrainedRope,
    *,
    beta_fast: float = BETA_FAST,
    beta_slow: float = BETA_SLOW,
    truncate: bool = True,
) -> NDArray[np.float64]:
    """How much of each θᵢ is kept: float64[n_rot/2], 1 is untouched and 0 is θ/s.

    corr(β) = d·ln(L/(2πβ)) / (2·ln b) is the dimension that makes β rotations in the trained
    window; the ramp falls from low = max(0, corr(β_fast)) to high = min(d-1, corr(β_slow)).
    ``truncate`` rounds them outwards to whole dimensions, as llama.cpp always does
    (``ggml_rope_yarn_corr_dims``) and transformers does unless a model says otherwise.

    Raises:
        PlanError: the betas are not 0 < beta_slow < beta_fast.
    """
    if not 0 < beta_slow < beta_fast:
        raise PlanError(
            f"beta_slow {beta_slow} and beta_fast {beta_fast}: 0 < slow < fast is needed"
        )
    low, high = (
        rope.n_rot * math.log(rope.original_ctx / (2 * math.pi * beta)) / (2 * math.log(rope.base))
        for beta in (beta_fast, beta_slow)
    )
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(0.0, low), min(rope.n_rot - 1.0, high)
    # llama.cpp's guard; where the ramp is empty, transformers' (high += 0.001) is the same.
    width = max(0.001, high - low)
    index = np.arange(rope.n_rot // 2, dtype=np.float64)
    return 1 - np.clip((index - low) / width, 0.0, 1.0)


def yarn(
    rope: TrainedRope,
    scale: float,
    *,
    beta_fast: float = BETA_FAST,
    beta_slow: float = BETA_SLOW,
    truncate: bool = True,
) -> Scaled:
    """θ/s·(1-ramp) + θ·ramp with :func:`yarn_ramp`, and the temperature."""
    ramp = yarn_ramp(rope, beta_fast=beta_fast, beta_slow=beta_slow, truncate=truncate)
    theta = rope.frequencies
    mixed = theta / check_scale(scale) * (1 - ramp) + theta * ramp
    return Scaled(mixed, yarn_attention_factor(scale))
