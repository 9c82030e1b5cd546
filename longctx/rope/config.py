"""The RoPE of one window: what llama.cpp is told, and what it then runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from longctx.errors import PlanError
from longctx.rope.frequencies import TrainedRope, check_scale, divided, longrope, ntk_base
from longctx.rope.yarn import BETA_FAST, BETA_SLOW, yarn_attention_factor, yarn_ramp
from longctx.types import Frozen

Method: TypeAlias = Literal["none", "linear", "ntk", "dynamic", "ntk-by-parts", "yarn", "longrope"]


class RopeConfig(Frozen):
    """The positional encoding of a window.

    Attributes:
        method: the scaling method. Self-Extend leaves RoPE alone, so it is ``"none"`` here.
        scale: s, what the method adds on top of what the file already applies; 1 or more.
        freq_base: llama.cpp's ``rope_freq_base``.
        freq_scale: llama.cpp's ``rope_freq_scale``: the file's own, divided by s under
            linear, ntk-by-parts and yarn.
        original_ctx: L, the window in tokens from which the ramp of YaRN is computed.
        attention_factor: what cached keys carry, relative to plain rotated ones.
        beta_fast: rotations in L above which YaRN leaves a frequency alone.
        beta_slow: rotations in L below which YaRN divides a frequency by s.
        ramp: whether llama.cpp runs YaRN's ramp, be it our choice or the file's.
        frequency_factors: divisors of the frequencies [n_rot/2], from the file's
            ``rope_freqs.weight`` or its long or short factors, which apply under every method;
            under longrope those that a calibration found.
    """

    method: Method = "none"
    scale: float = Field(default=1.0, ge=1)
    freq_base: float = Field(gt=1)
    freq_scale: float = Field(default=1.0, gt=0)
    original_ctx: int = Field(gt=0)
    attention_factor: float = Field(default=1.0, gt=0)
    beta_fast: float = BETA_FAST
    beta_slow: float = BETA_SLOW
    ramp: bool = False
    frequency_factors: tuple[float, ...] | None = None

    @property
    def yarn_attention_factor(self) -> float:
        """The temperature that llama.cpp applies of its own when the ramp runs.

        NTK-by-parts is YaRN without it: the metadata key ``<arch>.rope.scaling.attn_factor``,
        which multiplies it, set to ``attention_factor / yarn_attention_factor``.
        """
        return yarn_attention_factor(1 / self.freq_scale)

    def frequencies(self, n_rot: int) -> NDArray[np.float64]:
        """The frequencies that llama.cpp runs: float64[n_rot/2], radians a position.

        ntk-by-parts has the ramp over dimensions here, as llama.cpp does, and not the paper's
        (:func:`longctx.rope.ntk_by_parts`).

        Raises:
            PlanError: ``n_rot`` is odd or does not fit ``frequency_factors``.
        """
        rope = TrainedRope(n_rot, self.freq_base, self.original_ctx)
        if self.frequency_factors is None:
            theta = rope.frequencies
        else:
            theta = divided(rope, self.frequency_factors).frequencies
        if not self.ramp:
            return theta * self.freq_scale
        ramp = yarn_ramp(rope, beta_fast=self.beta_fast, beta_slow=self.beta_slow)
        return theta * (self.freq_scale * (1 - ramp) + ramp)


def rope_config(
    method: Method,
    *,
    scale: float,
    n_rot: int,
    base: float,
    original_ctx: int,
    trained_freq_scale: float = 1.0,
    trained_attention_factor: float = 1.0,
    trained_yarn: bool = False,
    frequency_factors: Sequence[float] | NDArray[np.floating] | None = None,
    beta_fast: float = BETA_FAST,
    beta_slow: float = BETA_SLOW,
    searched_factors: Sequence[float] | None = None,
) -> RopeConfig:
    """Compute what a method needs at a scale, on top of what the file already applies.

    At scale 1 every method leaves the file as it is.

    Args:
        method: the scaling method.
        scale: s = n_ctx / n_ctx_train.
        n_rot: dimensions of a head that are rotated.
        base: the trained base.
        original_ctx: the file's ``rope.scaling.original_context_length``, else its trained
            window, in tokens.
        trained_freq_scale: 1 / the file's ``rope.scaling.factor``.
        trained_attention_factor: the file's ``rope.scaling.attn_factor``.
        trained_yarn: whether the file's ``rope.scaling.type`` is ``yarn``: its ramp stays on
            under none, ntk and dynamic, which leave the type alone.
        frequency_factors: the file's own divisors [n_rot/2].
        beta_fast: see :class:`RopeConfig`.
        beta_slow: see :class:`RopeConfig`.
        searched_factors: longrope's divisors [n_rot/2] for this scale; only there, and only
            where the file has none of its own.

    Raises:
        PlanError: the method is unknown, a number is out of range, or longrope lacks factors.
    """
    if method not in get_args(Method):
        raise PlanError(f"method {method!r} is unknown; use one of {', '.join(get_args(Method))}")
    if trained_freq_scale <= 0 or trained_attention_factor <= 0:
        raise PlanError(
            f"the file's frequency scale {trained_freq_scale} and attention factor "
            f"{trained_attention_factor} must be positive"
        )
    check_scale(scale)
    rope = TrainedRope(n_rot, base, original_ctx)
    stretched = scale > 1
    divides = stretched and method in ("linear", "ntk-by-parts", "yarn")
    freq_scale = trained_freq_scale / scale if divides else trained_freq_scale
    ramp = method in ("ntk-by-parts", "yarn") if divides else trained_yarn
    attention_factor = trained_attention_factor
    if ramp and not (divides and method == "ntk-by-parts"):
        attention_factor *= yarn_attention_factor(1 / freq_scale)
    factors = None
    if method == "longrope" and stretched:
        if searched_factors is None or frequency_factors is not None:
            raise PlanError(
                "longrope needs a factor for each frequency, from a calibration of this model, and "
                "a file without factors of its own; run `longctx calibrate --methods longrope`"
            )
        frequency_factors = searched_factors
        attention_factor *= longrope(rope, scale, searched_factors).attention_factor
    if frequency_factors is not None:
        divided(rope, frequency_factors)  # refuses a wrong count before llama.cpp does
        factors = tuple(float(factor) for factor in frequency_factors)
    return RopeConfig(
        method=method,
        scale=scale,
        freq_base=ntk_base(rope, scale) if stretched and method in ("ntk", "dynamic") else base,
        freq_scale=freq_scale,
        original_ctx=original_ctx,
        attention_factor=attention_factor,
        beta_fast=beta_fast,
        beta_slow=beta_slow,
        ramp=ramp,
        frequency_factors=factors,
    )
