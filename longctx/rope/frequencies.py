"""Scaling methods: ``(TrainedRope, scale, what the method needs besides) -> Scaled``.

Those with a ramp over dimensions are in ``yarn``.

d = n_rot, b = base, i = 0 … d/2-1, L = original_ctx, s = scale = n_ctx / L, and
θᵢ = b^(-2i/d) radians a position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longctx.errors import PlanError


@dataclass(frozen=True)
class TrainedRope:
    """The RoPE that a model was trained with (Su et al. 2021, RoFormer, section 3.4).

    Args:
        n_rot: dimensions of a head that are rotated (even; not head_dim where rotary is partial).
        base: b, above 1.
        original_ctx: L, the trained window in tokens.

    Raises:
        PlanError: a number that no RoPE can have.
    """

    n_rot: int
    base: float
    original_ctx: int

    def __post_init__(self) -> None:
        if self.n_rot < 2 or self.n_rot % 2:
            raise PlanError(
                f"n_rot is {self.n_rot}; RoPE rotates pairs, so it is even and positive"
            )
        if not (math.isfinite(self.base) and self.base > 1):
            raise PlanError(f"the RoPE base is {self.base}; it is a number above 1")
        if self.original_ctx < 1:
            raise PlanError(f"the trained window is {self.original_ctx} tokens; it is 1 or more")

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """θᵢ: float64[n_rot/2], radians a position, highest first."""
        return self.base ** (-np.arange(0, self.n_rot, 2, dtype=np.float64) / self.n_rot)


class Scaled(NamedTuple):
    """What a method makes of a RoPE.

    ``frequencies`` is float64[n_rot/2], radians a position; ``attention_factor`` multiplies
    queries and keys each, so attention scores by its square.
    """

    frequencies: NDArray[np.float64]
    attention_factor: float = 1.0


def check_scale(scale: float) -> float:
    """Return ``scale``.

    Raises:
        PlanError: it is not a number of 1 or more.
    """
    if not (math.isfinite(scale) and scale >= 1):
        raise PlanError(f"the scale is {scale}; it is n_ctx / n_ctx_train, a number of 1 or more")
    return scale


def none(rope: TrainedRope, scale: float) -> Scaled:
    """θᵢ as trained, whatever the scale: the baseline."""
    check_scale(scale)
    return Scaled(rope.frequencies)


def linear(rope: TrainedRope, scale: float) -> Scaled:
    """θᵢ/s: Position Interpolation (Chen et al. 2023, equation 4)."""
    return Scaled(rope.frequencies / check_scale(scale))


def ntk_base(rope: TrainedRope, scale: float) -> float:
    """b' = b·s^(d/(d-2)), the base of :func:`ntk`.

    Raises:
        PlanError: n_rot is 2, whose one frequency cannot be both kept and scaled.
    """
    if rope.n_rot == 2:
        raise PlanError("NTK-aware scaling needs n_rot above 2; use linear")
    return float(rope.base * check_scale(scale) ** (rope.n_rot / (rope.n_rot - 2)))


def ntk(rope: TrainedRope, scale: float) -> Scaled:
    """NTK-aware: θᵢ·s^(-2i/(d-2)) (bloc97 2023; Peng et al. 2023, YaRN, definition 1).

    The highest frequency is kept and the lowest is exactly θ/s. Many write-ups print
    "θᵢ·s^(2i/d)": that is the wavelength's form, with d in place of d-2.
    """
    return Scaled(TrainedRope(rope.n_rot, ntk_base(rope, scale), rope.original_ctx).frequencies)


def dynamic_ntk(rope: TrainedRope, scale: float, *, factor: float = 1.0) -> Scaled:
    """NTK-aware at the scale that the text needs now (emozilla 2023).

    ``scale`` is tokens so far / L and may be below 1, where nothing is scaled. ``factor`` f
    makes it f·scale - (f-1): transformers' ``dynamic`` with a factor overshoots so.
    """
    return ntk(rope, check_scale(factor) * max(1.0, scale) - (factor - 1))


def divided(rope: TrainedRope, factors: Sequence[float] | NDArray[np.floating]) -> Scaled:
    """θᵢ/λᵢ for any λ = ``factors`` [n_rot/2]: what a ``rope_freqs.weight`` tensor does.

    Raises:
        PlanError: their number is not n_rot/2, or one is not positive.
    """
    lambdas = np.asarray(factors, dtype=np.float64)
    if lambdas.shape != (rope.n_rot // 2,):
        raise PlanError(f"{lambdas.size} frequency factors for n_rot {rope.n_rot}: half are needed")
    if not (np.isfinite(lambdas).all() and (lambdas > 0).all()):
        raise PlanError("a frequency factor is not a positive number")
    return Scaled(rope.frequencies / lambdas)


def longrope(
    rope: TrainedRope, scale: float, factors: Sequence[float] | NDArray[np.floating]
) -> Scaled:
    """θᵢ/λᵢ with λ searched, and sqrt(1 + ln s / ln L) (Ding et al. 2024, LongRoPE).

    ``factors`` [n_rot/2] is the model's short or long vector. The temperature is the one of
    the models' own code; it is 1 at s = 1.
    """
    temperature = math.sqrt(1 + math.log(check_scale(scale)) / math.log(rope.original_ctx))
    return Scaled(divided(rope, factors).frequencies, temperature)


def llama3(
    rope: TrainedRope, scale: float, *, low_freq_factor: float = 1.0, high_freq_factor: float = 4.0
) -> Scaled:
    """Llama 3.1's (Grattafiori et al. 2024): NTK-by-parts with other ends to its ramp.

    With r = L·θ/2π rotations in the trained window: θ/s below ``low_freq_factor`` of them, θ above
    ``high_freq_factor``, and a mix linear in r between. llama.cpp's converter writes it as a
    ``rope_freqs.weight`` tensor.
    """
    return Scaled(mix_by_rotations(rope, check_scale(scale), low_freq_factor, high_freq_factor))


def mix_by_rotations(
    rope: TrainedRope, scale: float, low: float, high: float
) -> NDArray[np.float64]:
    """(1-m)·θ/s + m·θ, m = clamp((r-low)/(high-low), 0, 1), r = L·θ/2π: float64[n_rot/2].

    Raises:
        PlanError: ``high`` is not above ``low``.
    """
    if not high > low:
        raise PlanError(
            f"the ramp runs from {low} to {high} rotations; its end must be above its start"
        )
    theta = rope.frequencies
    n_rotations = rope.original_ctx * theta / (2 * math.pi)
    mix = np.clip((n_rotations - low) / (high - low), 0.0, 1.0)
    return (1 - mix) * theta / scale + mix * theta
