"""What the caller asks for, checked: nonsense is named before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast, get_args

from longctx.errors import PlanError
from longctx.planner.context_plan import Overflow, PlanMethod, Window
from longctx.planner.memory import KvType
from longctx.planner.profile import Profile
from longctx.rope import Method

DEFAULT_SINKS = 4  # StreamingLLM (Xiao et al. 2023), section 3.2: four suffice
_MAX_CTX = 1 << 30  # positions are int32 in llama.cpp


@dataclass(frozen=True)
class PlanRequest:
    """A request that makes sense by itself. ``method`` and ``kv_type`` None mean auto."""

    target_ctx: int
    method: PlanMethod | None
    kv_type: KvType | None
    reserve_output: int
    n_keep: int
    overflow: Overflow
    window: Window
    profile: Profile | None = None


def check_request(
    target_ctx: Any,
    *,
    method: Any,
    kv_type: Any,
    reserve_output: Any,
    n_keep: Any,
    overflow: Any,
    window: Any,
    profile: Any = None,
) -> PlanRequest:
    """Check every argument of :func:`longctx.planner.plan_context` but model and memory.

    Raises:
        PlanError: an argument is of the wrong type, out of range, or unknown.
    """
    target_ctx = _count(
        "target_ctx", target_ctx, 1, "ask for a positive number of tokens, such as 32768"
    )
    if target_ctx > _MAX_CTX:
        raise PlanError(
            f"target_ctx is {target_ctx:,}, past the {_MAX_CTX:,} positions that llama.cpp can "
            "count; ask for less"
        )
    methods = (*get_args(Method), "self-extend")
    if method != "auto" and method not in methods:
        raise PlanError(f"method {method!r} is unknown; use auto, {', '.join(methods)}")
    if kv_type != "auto" and kv_type not in get_args(KvType):
        raise PlanError(f"kv_type {kv_type!r} is unknown; use auto, {', '.join(get_args(KvType))}")
    if overflow not in get_args(Overflow):
        raise PlanError(f"overflow {overflow!r} is unknown; use 'error' or 'slide'")
    if window not in get_args(Window):
        raise PlanError(f"window {window!r} is unknown; use 'elastic' or 'fixed'")
    if profile is not None and not isinstance(profile, Profile):
        raise PlanError(f"profile is a {type(profile).__name__}; pass what calibrate() returned")
    reserve_output = _count(
        "reserve_output", reserve_output, 0, "use 0 to reserve nothing for the answer"
    )
    if n_keep is None:
        n_keep = DEFAULT_SINKS if overflow == "slide" else 0
    n_keep = _count("n_keep", n_keep, 0, "use 4 attention sinks, or None for the default")
    if reserve_output + n_keep >= target_ctx:
        raise PlanError(
            f"reserve_output={reserve_output:,} and n_keep={n_keep:,} leave nothing of a window of "
            f"{target_ctx:,} tokens for the prompt; lower them, or raise target_ctx"
        )
    return PlanRequest(
        target_ctx=target_ctx,
        method=None if method == "auto" else cast(PlanMethod, method),
        kv_type=None if kv_type == "auto" else cast(KvType, kv_type),
        reserve_output=reserve_output,
        n_keep=n_keep,
        overflow=cast(Overflow, overflow),
        window=cast(Window, window),
        profile=profile,
    )


def _count(name: str, value: Any, least: int, fix: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise PlanError(f"{name} is {value!r}, not a whole number of tokens; {fix}")
    if (count := int(value)) < least:
        raise PlanError(f"{name} is {count:,}; {fix}")
    return count
