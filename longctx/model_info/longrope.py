"""Whether frequency factors of our own can be given to a model (LongRoPE, Ding et al. 2024)."""

from __future__ import annotations

from longctx.model_info.info import ModelInfo

_READ_FACTORS = frozenset({"llama", "arcee", "deci", "exaone", "granite", "mistral3", "apertus"})
"""Architectures whose graph divides by ``rope_freqs.weight``; others ignore or refuse it."""


def longrope_obstacle(info: ModelInfo) -> str | None:
    """Why a model cannot have factors of ours, or None."""
    if info.architecture not in _READ_FACTORS:
        return f"llama.cpp reads no frequency factors for {info.architecture}"
    if info.rope_scaling is not None or info.frequency_factors is not None:
        return "its file scales the frequencies already, and one tensor cannot come on top"
    return None
