"""RoPE as arithmetic: what each scaling method does to the frequencies, and rotating keys.

Pure numpy; nothing here knows llama.cpp but :class:`RopeConfig`, which states what llama.cpp
is told and the frequencies that it then runs.
"""

from longctx.rope.config import Method, RopeConfig, rope_config
from longctx.rope.frequencies import (
    Scaled,
    TrainedRope,
    divided,
    dynamic_ntk,
    linear,
    llama3,
    longrope,
    none,
    ntk,
    ntk_base,
)
from longctx.rope.rotate import RotaryType, Rotation, rerotate, rotate
from longctx.rope.self_extend import Groups, SelfExtendConfig, grouped_positions
from longctx.rope.yarn import ntk_by_parts, yarn, yarn_attention_factor, yarn_ramp

__all__ = [
    "Groups",
    "Method",
    "RopeConfig",
    "RotaryType",
    "Rotation",
    "Scaled",
    "SelfExtendConfig",
    "TrainedRope",
    "divided",
    "dynamic_ntk",
    "grouped_positions",
    "linear",
    "llama3",
    "longrope",
    "none",
    "ntk",
    "ntk_base",
    "ntk_by_parts",
    "rerotate",
    "rope_config",
    "rotate",
    "yarn",
    "yarn_attention_factor",
    "yarn_ramp",
]
