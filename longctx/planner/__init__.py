"""From a model and a window wanted to one immutable plan, every choice explained."""

from longctx.planner.compression import compression_obstacle
from longctx.planner.context_plan import ContextPlan
from longctx.planner.memory import (
    CELLS_APART,
    CHECKPOINTS,
    CHECKPOINTS_BYTES,
    N_SEQUENCES,
    KvType,
    MemoryEstimate,
    estimate_memory,
    holds_sequences,
    kv_cache_bytes,
    largest_window,
    padded,
)
from longctx.planner.method import elastic_method
from longctx.planner.plan import plan_context
from longctx.planner.profile import (
    Check,
    Choice,
    Profile,
    ProfileParameters,
    TrialResult,
    profile_path,
)
from longctx.planner.request import DEFAULT_SINKS, PlanOptions
from longctx.planner.self_extend import self_extend_obstacle
from longctx.rope import SelfExtendConfig

__all__ = [
    "CELLS_APART",
    "CHECKPOINTS",
    "CHECKPOINTS_BYTES",
    "DEFAULT_SINKS",
    "N_SEQUENCES",
    "Check",
    "Choice",
    "ContextPlan",
    "KvType",
    "MemoryEstimate",
    "PlanOptions",
    "Profile",
    "ProfileParameters",
    "SelfExtendConfig",
    "TrialResult",
    "compression_obstacle",
    "elastic_method",
    "estimate_memory",
    "holds_sequences",
    "kv_cache_bytes",
    "largest_window",
    "padded",
    "plan_context",
    "profile_path",
    "self_extend_obstacle",
]
