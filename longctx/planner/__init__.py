"""From a model and a window wanted to one immutable plan, every choice explained."""

from longctx.planner.compression import compression_obstacle
from longctx.planner.context_plan import ContextPlan
from longctx.planner.fitting import NO_GPU, Fitting, usable_devices
from longctx.planner.memory import (
    CELLS_APART,
    CHECKPOINTS,
    CHECKPOINTS_BYTES,
    N_SEQUENCES,
    KvType,
    estimate_memory,
    holds_sequences,
    kv_cache_bytes,
    largest_window,
    padded,
)
from longctx.planner.memory_estimate import MemoryEstimate, Place
from longctx.planner.method import elastic_method
from longctx.planner.placement import Placement
from longctx.planner.plan import machines_devices, plan_context, plan_on
from longctx.planner.profile import (
    AdapterKeys,
    Check,
    Choice,
    Profile,
    ProfileParameters,
    TrialResult,
    adapter_keys,
    profile_path,
)
from longctx.planner.request import DEFAULT_SINKS, AdapterOption, PlanOptions
from longctx.planner.self_extend import self_extend_obstacle
from longctx.rope import SelfExtendConfig

__all__ = [
    "CELLS_APART",
    "CHECKPOINTS",
    "CHECKPOINTS_BYTES",
    "DEFAULT_SINKS",
    "NO_GPU",
    "N_SEQUENCES",
    "AdapterKeys",
    "AdapterOption",
    "Check",
    "Choice",
    "ContextPlan",
    "Fitting",
    "KvType",
    "MemoryEstimate",
    "Place",
    "Placement",
    "PlanOptions",
    "Profile",
    "ProfileParameters",
    "SelfExtendConfig",
    "TrialResult",
    "adapter_keys",
    "compression_obstacle",
    "elastic_method",
    "estimate_memory",
    "holds_sequences",
    "kv_cache_bytes",
    "largest_window",
    "machines_devices",
    "padded",
    "plan_context",
    "plan_on",
    "profile_path",
    "self_extend_obstacle",
    "usable_devices",
]
