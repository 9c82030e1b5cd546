"""What the caller asks for, checked: nonsense is named before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

from typing_extensions import TypedDict

from longctx.devices import DeviceOptions
from longctx.errors import PlanError
from longctx.options import check_names
from longctx.planner.context_plan import Overflow, PlanMethod, Window
from longctx.planner.memory import KvType
from longctx.planner.memory_limit import size_of
from longctx.planner.profile import Profile, ProfileParameters
from longctx.rope import Method

DEFAULT_SINKS = 4  # StreamingLLM (Xiao et al. 2023), section 3.2: four suffice
DEFAULT_RESERVE = 1024
AdapterOption: TypeAlias = str | PathLike[str] | tuple[str | PathLike[str], float]
"""The path of a LoRA adapter, alone or with its scale."""
_MAX_CTX = 1 << 30  # positions are int32 in llama.cpp


class PlanOptions(TypedDict, total=False):
    """How a window is planned; what is left out is the default.

    Attributes:
        method: none, linear, ntk, dynamic, ntk-by-parts, yarn, self-extend, or longrope once a
            calibration has searched its factors; auto takes a calibration profile of this model
            if there is one, else self-extend for an elastic window (yarn where the model
            cannot), ntk for a fixed one.
        kv_type: f16, bf16, q8_0, q4_0; auto takes the first of f16, q8_0, q4_0 that fits.
        memory_limit: bytes or a text such as ``"6GiB"``; None is what is free now, less a margin.
        kv_budget: bytes, or a text such as ``"2GiB"``, that the KV cache may take at most, those of
            all conversations together. Where ``target_ctx`` takes more, the cache has fewer bits
            (unless ``kv_type`` says which), and where that is not enough, ``overflow`` is
            ``compress`` (unless it is ``slide``) in a window that fits the budget.
        reserve_output: tokens that must be free when an answer begins that names no
            ``max_tokens``, and that agents and documents keep free for one; by default 1,024, or a
            quarter of the window where that is less. It is no limit: such an answer goes to its
            end, or the window's.
        n_keep: attention sinks that a window keeps when it slides or compresses; None is 4 then.
        overflow: what a full window does: ``error``; ``slide``, which lets the oldest tokens
            behind the attention sinks go, endlessly, and says how many
            (``Completion.window.dropped_tokens``); or ``compress``, which thins them, each layer
            and head keeping those that matter most to it (``Completion.window.compressed_tokens``).
        window: ``elastic`` begins as trained and grows with the text; ``fixed`` has the target's
            scale from the first token.
        profile: a calibration of this model to use instead of the stored one.
        parameters: how the method that is named is set, instead of by its formula.
        adapters: LoRA adapters (GGUF), each by its path, or by path and scale, which is 1 where
            it is not given: ``[("lora.gguf", 0.8)]``. One of :func:`longctx.finetune.extend` brings
            method, parameters and kind of window with it, and is refused with others.
        devices: what goes to GPUs, and how the model is loaded: :class:`longctx.DeviceOptions`.
        n_gpu_layers: short for ``DeviceOptions(gpu_layers=...)``: ``"auto"`` (the default) is what
            fits, -1 all, 0 none. Where llama.cpp finds no GPU for them, the plan's warnings say so.
    """

    method: str
    kv_type: str
    memory_limit: int | str | None
    kv_budget: int | str | None
    reserve_output: int | None
    n_keep: int | None
    overflow: str
    window: str
    profile: Profile | None
    parameters: ProfileParameters | None
    adapters: Sequence[AdapterOption] | None
    devices: DeviceOptions | None
    n_gpu_layers: int | str | None


@dataclass(frozen=True)
class PlanRequest:
    """A request that makes sense by itself. ``method`` and ``kv_type`` None mean auto;
    ``chosen_by`` says why the method is what it is."""

    target_ctx: int
    method: PlanMethod | None
    kv_type: KvType | None
    reserve_output: int
    n_keep: int
    overflow: Overflow
    window: Window
    profile: Profile | None = None
    parameters: ProfileParameters | None = None
    adapters: tuple[tuple[Path, float], ...] = ()
    chosen_by: str = "as asked for"
    kv_budget_bytes: int | None = None
    devices: DeviceOptions = field(default_factory=DeviceOptions)


def check_request(target_ctx: Any, options: Mapping[str, Any]) -> PlanRequest:
    """Check every argument of :func:`longctx.planner.plan_context` but model and memory.

    Raises:
        PlanError: an argument is of the wrong type, out of range, or unknown.
        RequestError: what is asked of devices is.
    """
    check_names(options, frozenset(PlanOptions.__annotations__), "of a plan")
    method, kv_type = options.get("method", "auto"), options.get("kv_type", "auto")
    overflow, window = options.get("overflow", "error"), options.get("window", "elastic")
    reserve_output, n_keep = options.get("reserve_output"), options.get("n_keep")
    profile, parameters = options.get("profile"), options.get("parameters")
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
        raise PlanError(f"overflow {overflow!r} is unknown; use 'error', 'slide' or 'compress'")
    if window not in get_args(Window):
        raise PlanError(f"window {window!r} is unknown; use 'elastic' or 'fixed'")
    if profile is not None and not isinstance(profile, Profile):
        raise PlanError(f"profile is a {type(profile).__name__}; pass what calibrate() returned")
    if parameters is not None and not isinstance(parameters, ProfileParameters):
        raise PlanError(f"parameters are a {type(parameters).__name__}; pass a ProfileParameters")
    if parameters is not None and (method == "auto" or profile is not None):
        raise PlanError("parameters belong to one method: pass its name, and no profile")
    if reserve_output is None:
        reserve_output = max(1, min(DEFAULT_RESERVE, target_ctx // 4))
    reserve_output = _count(
        "reserve_output", reserve_output, 0, "use 0 to reserve nothing for the answer"
    )
    if n_keep is None:
        # Within a budget a window may have to compress.
        is_whole = overflow == "error" and options.get("kv_budget") is None
        n_keep = 0 if is_whole else DEFAULT_SINKS
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
        parameters=parameters,
        adapters=_adapters(options.get("adapters")),
        kv_budget_bytes=_bytes("kv_budget", options.get("kv_budget")),
        devices=DeviceOptions.of(options.get("devices"), options.get("n_gpu_layers")),
    )


def _bytes(name: str, given: Any) -> int | None:
    if given is None:
        return None
    size = size_of(given)
    if size is None:
        raise PlanError(
            f"{name} is {given!r}; give bytes (a positive whole number), a text such as '2GiB' or "
            "'512MiB', or None for as much as the window takes"
        )
    return size


def _adapters(given: Any) -> tuple[tuple[Path, float], ...]:
    if given is None:
        return ()
    if isinstance(given, str | PathLike | Mapping) or not isinstance(given, Sequence):
        raise PlanError(f"adapters is {given!r}; pass a list, such as [('lora.gguf', 0.8)]")
    return tuple(_adapter(each) for each in given)


def _adapter(given: Any) -> tuple[Path, float]:
    path, scale = given if isinstance(given, tuple) and len(given) == 2 else (given, 1.0)
    is_path = isinstance(path, str) or (
        isinstance(path, PathLike) and isinstance(fspath(path), str)
    )
    is_scale = isinstance(scale, Real) and not isinstance(scale, bool) and isfinite(scale)
    if not is_path or not is_scale:
        raise PlanError(
            f"an adapter is {given!r}; name its file, or its file and a number to scale it by: "
            "('lora.gguf', 0.8)"
        )
    return Path(path), float(scale)


def _count(name: str, value: Any, least: int, fix: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise PlanError(f"{name} is {value!r}, not a whole number of tokens; {fix}")
    if (count := int(value)) < least:
        raise PlanError(f"{name} is {count:,}; {fix}")
    return count
