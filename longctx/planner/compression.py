"""Which models' caches can be compressed, a head at a time."""

from __future__ import annotations

from longctx.model_info import ModelInfo
from longctx.planner.memory import KvType, can_quantize_kv

_KINDS = {
    "mla": "it keeps compressed keys (MLA), one row for all heads",
    "recurrent": "it keeps a recurrent state, which has no tokens",
    "sliding": "its sliding-window layers have a cache of their own, and its other layers bear it "
    "badly (measured on Gemma 3)",
}


def compression_obstacle(info: ModelInfo, kv_type: KvType = "f16") -> str | None:
    """Why a model's cached text cannot be compressed; None if it can."""
    for kind, reason in _KINDS.items():
        if kind in info.layer_kinds:
            return reason
    if info.forgets:
        return _KINDS["recurrent"]
    if info.turning_obstacle is not None:
        return info.turning_obstacle
    if info.rope_type not in ("norm", "neox"):
        return f"its RoPE is of type {info.rope_type}, so that keys cannot be moved"
    if kv_type in ("q8_0", "q4_0"):
        # Heads that share a block of numbers could not be parted.
        return can_quantize_kv(info)
    return None
