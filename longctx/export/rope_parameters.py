"""``rope_parameters`` of a Hugging Face configuration (transformers 5; vLLM reads it too)."""

from __future__ import annotations

from typing import Any

from longctx.export.served import Served
from longctx.rope import TrainedRope


def rope_parameters(to_run: Served) -> dict[str, Any] | None:
    """What makes transformers' functions compute our frequencies and attention factor.

    NTK-aware scaling is another ``rope_theta``. A file that is already scaled has frequencies
    that no formula of transformers gives once more scaling comes on top; ``longrope``, which
    divides each frequency by a factor of its own, expresses any.

    Returns:
        None where the model's repository already says it.
    """
    if not to_run.is_scaled:
        return None
    info, rope = to_run.info, to_run.rope
    if info.rope_scaling is not None or rope.frequency_factors is not None:
        found = _any_frequencies(to_run)
    elif to_run.method == "linear":
        found = {"rope_type": "linear", "factor": rope.scale, "rope_theta": rope.freq_base}
    elif to_run.method in ("ntk", "dynamic"):
        found = {"rope_type": "default", "rope_theta": rope.freq_base}
    else:
        found = {
            "rope_type": "yarn",
            "factor": rope.scale,
            "original_max_position_embeddings": rope.original_ctx,
            "beta_fast": rope.beta_fast,
            "beta_slow": rope.beta_slow,
            "rope_theta": rope.freq_base,
        }
        if to_run.method == "ntk-by-parts":  # YaRN without its temperature
            found["attention_factor"] = rope.attention_factor
    if "mla" not in info.layer_kinds and info.n_rot != info.head_dim:
        found["partial_rotary_factor"] = info.n_rot / info.head_dim
    return found


def _any_frequencies(to_run: Served) -> dict[str, Any]:
    info, rope = to_run.info, to_run.rope
    plain = TrainedRope(info.n_rot, info.rope_freq_base, rope.original_ctx).frequencies
    factors = (plain / rope.frequencies(info.n_rot)).tolist()
    return {
        "rope_type": "longrope",
        "short_factor": factors,
        "long_factor": factors,
        "original_max_position_embeddings": rope.original_ctx,
        "attention_factor": rope.attention_factor,
        "rope_theta": info.rope_freq_base,
    }


def by_layer_type(to_run: Served) -> str | None:
    """The key that the parameters stand under where sliding layers have a RoPE of their own."""
    return "full_attention" if to_run.info.scaling_support == "global-layers" else None
