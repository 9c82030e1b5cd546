"""From a wish to a plan: scale, method, KV types and memory, each choice with its reason."""

from __future__ import annotations

from os import PathLike

from typing_extensions import Unpack

from longctx.devices import Device, DeviceOptions
from longctx.errors import PlanError, UnsupportedModelError
from longctx.model_info import ModelInfo, format_bytes, read_adapter
from longctx.planner.compression import compression_obstacle
from longctx.planner.context_plan import ContextPlan, PlanMethod, rope_for_window
from longctx.planner.fitting import Fitting
from longctx.planner.kv_budget import within_budget
from longctx.planner.memory import KvType, can_quantize_kv, largest_window
from longctx.planner.memory_estimate import RUNTIME_BYTES, MemoryEstimate
from longctx.planner.memory_limit import resolve_memory_limit
from longctx.planner.method import choose_method, doubts, elastic_steps
from longctx.planner.request import PlanOptions, PlanRequest, check_request
from longctx.planner.self_extend import choose_self_extend
from longctx.planner.trained_map import as_trained


def plan_context(
    model: ModelInfo | str | PathLike[str], target_ctx: int, **options: Unpack[PlanOptions]
) -> ContextPlan:
    """Plan a window.

    Args:
        model: what the file says about itself, or its path.
        target_ctx: the window wanted, in tokens: exactly so many are the limit.
        options: :class:`PlanOptions`.

    Raises:
        PlanError: the request is nonsense, or no window satisfies it; ``largest_ctx`` says what
            would fit.
        UnsupportedModelError: scaling cannot reach this model, or an adapter is of another.
        ModelFileError: the file cannot be read.
    """
    request = check_request(target_ctx, options)
    devices = machines_devices(request.devices)
    return _plan(model, request, devices, options.get("memory_limit"))


def plan_on(
    machine: tuple[Device, ...],
    model: ModelInfo | str | PathLike[str],
    target_ctx: int,
    **options: Unpack[PlanOptions],
) -> ContextPlan:
    """As :func:`plan_context`, for a machine that has the devices of ``machine``."""
    request = check_request(target_ctx, options)
    return _plan(model, request, machine, options.get("memory_limit"))


def machines_devices(options: DeviceOptions) -> tuple[Device, ...]:
    """What llama.cpp finds on this machine; nothing where no layer is to go to a GPU."""
    # Asking a GPU for its memory takes some of it, and a moment.
    if options.gpu_layers == 0:
        return ()
    # Where nothing is placed by it, nobody waits for llama.cpp's library to load.
    try:
        from longctx._native import list_devices
    except (ImportError, OSError, RuntimeError):  # a plan needs none, and `longctx doctor` says why
        return ()
    return list_devices()


def _plan(
    model: ModelInfo | str | PathLike[str],
    request: PlanRequest,
    devices: tuple[Device, ...],
    memory_limit: int | str | None,
) -> ContextPlan:
    limit, limit_source = resolve_memory_limit(memory_limit)
    info = _as_info(model)
    adapters = tuple(read_adapter(path, scale, info) for path, scale in request.adapters)
    reasons: list[str] = []
    warnings: list[str] = []
    request = as_trained(within_budget(info, request, reasons), info, adapters, reasons)
    scaling = choose_method(info, request, adapters, reasons, warnings)
    chosen, parameters = scaling.method, scaling.parameters
    rope = rope_for_window(info, request.target_ctx, chosen, parameters)
    fitting = Fitting(
        info, request.devices, devices, limit, adapters, _copies(info, request, chosen)
    )
    kv, memory = _choose_kv_type(fitting, request, limit_source, reasons)
    reasons += fitting.reasons(request.target_ctx, kv)
    _check_lock(request, memory)
    if request.overflow == "compress" and (reason := compression_obstacle(info, kv)):
        raise UnsupportedModelError(
            f"overflow='compress' cannot be had for {info.name} ({info.architecture}): {reason}. "
            "Use overflow='slide'"
        )
    if request.overflow == "compress":
        reasons.append(_COMPRESSED)
    scale = rope.scale
    far = None
    if chosen == "self-extend":
        far = choose_self_extend(info, request.target_ctx, parameters)
        scale = request.target_ctx / info.n_ctx_train
        reasons.append(
            f"Below {far.start:,} tokens nothing changes; from there the oldest {far.block:,} at a "
            f"time share positions, {far.group} to each, more as they age; none is dropped. "
            "Frequencies stay as trained."
        )
        if info.forgets:
            whole = sum(layer.kind in ("full", "mla") for layer in info.layers)
            reasons.append(
                f"Only keys of the {whole} layers that see the whole window move; the others stay "
                "as they are."
            )
    warnings += fitting.warnings
    warnings += [note for adapter in adapters for note in adapter.notes]
    warnings += doubts(info, chosen, scale, scaling.profile, kv)
    plan = ContextPlan(
        info=info,
        window=request.window,
        n_ctx=request.target_ctx,
        n_ctx_train=info.n_ctx_train,
        scale=scale,
        method=chosen,
        rope=rope,
        self_extend=far,
        kv_type_k=kv,
        kv_type_v=kv,
        memory=memory.model_copy(update={"kv_budget_bytes": request.kv_budget_bytes}),
        reserve_output=request.reserve_output,
        n_keep=request.n_keep,
        overflow=request.overflow,
        parameters=parameters,
        profile=scaling.profile,
        adapters=adapters,
        devices=request.devices,
        placement=fitting.place(request.target_ctx, kv),
        reasons=tuple(reasons),
        warnings=tuple(warnings),
    )
    if chosen == "none" or request.window == "fixed":
        return plan
    steps = elastic_steps(info, chosen, plan.steps)
    return plan.model_copy(update={"reasons": (*reasons, steps)})


def _as_info(model: ModelInfo | str | PathLike[str]) -> ModelInfo:
    if isinstance(model, ModelInfo):
        return model
    if isinstance(model, str | PathLike):
        return ModelInfo.from_gguf(model)
    raise PlanError(
        f"the model is a {type(model).__name__}; pass a ModelInfo or the path of a GGUF"
    )


# benchmarks/stream.py --facts, on the demo model.
_COMPRESSED = (
    "A full window gives up a quarter of its older cells at a time, each layer and head its own. "
    "Measured on the demo model: perplexity up 4 %, and facts one or two windows back are found "
    "better than where the window slides, no better from four on."
)

# benchmarks/kv_types.py, on the demo model; llama.cpp unpacks them at each step on a CPU.
_QUANTIZED_COST = {
    "q8_0": " Measured on the demo model: perplexity up 0.2 %, reading a third as fast on CPUs.",
    "q4_0": " Measured on the demo model: perplexity up 6 %, reading a fifth as fast on CPUs.",
}


def _of_limit(memory: MemoryEstimate) -> str:
    limit = format_bytes(memory.limit_bytes)
    if not memory.places:
        return f"{memory} of {limit}"
    return f"{memory}, of which the host has {format_bytes(memory.host_bytes)} of {limit}"


def _resident(memory: MemoryEstimate, *, is_apart: bool) -> str:
    beside = "."
    if memory.beside_bytes:
        beside = (
            f", and {format_bytes(memory.beside_bytes)} for logits"
            f"{' and a small context' * is_apart} while many are answered at once"
            f"{' on a CPU' * is_apart}. Where the limit allows, a second window is opened if they "
            f"fill it{', and short answers get one of their own' * is_apart}."
        )
    return (
        f"The whole process will take about {format_bytes(memory.resident_bytes)}: "
        f"{format_bytes(RUNTIME_BYTES)} more for Python and its libraries{beside}"
    )


def _copies(info: ModelInfo, request: PlanRequest, method: PlanMethod) -> int:
    """Of the weights, at most: as they are, and those whose metadata say what a context cannot.

    Mapped from the file they are the same pages, in a GPU's memory they are not.
    """
    if method not in ("ntk-by-parts", "longrope") or request.target_ctx <= info.n_ctx_train:
        return 1
    # An elastic window that grows again has those of the window before until it has moved.
    doubles = request.window == "elastic" and request.target_ctx > 2 * info.n_ctx_train
    return 3 if doubles else 2


def _check_lock(request: PlanRequest, memory: MemoryEstimate) -> None:
    if not request.devices.mlock:
        return
    from longctx._native import lock_obstacle

    there = sum(place.weights_bytes for place in memory.places)
    if reason := lock_obstacle(memory.fixed_bytes - there):
        raise PlanError(f"mlock cannot be had: {reason}. Or leave mlock at False")


def _choose_kv_type(
    fitting: Fitting, request: PlanRequest, limit_source: str, reasons: list[str]
) -> tuple[KvType, MemoryEstimate]:
    info, limit = fitting.info, fitting.limit_bytes
    obstacle = can_quantize_kv(info, request.devices)
    candidates: tuple[KvType, ...] = ("f16", "q8_0", "q4_0")
    if request.kv_type is not None:
        candidates = (request.kv_type,)
        if request.kv_type in ("q8_0", "q4_0") and obstacle:
            raise PlanError(
                f"kv_type={request.kv_type!r} cannot be had for {info.name}: {obstacle}. Use 'f16'"
            )
    elif obstacle:
        candidates = ("f16",)
    refused: list[str] = []
    for kv in candidates:
        memory = fitting.estimate(request.target_ctx, kv)
        attends_on_cpu = fitting.place(request.target_ctx, kv).attends_on_cpu
        if memory.host_bytes <= limit:
            why = "as asked for" if request.kv_type else "the most exact that fits"
            if request.kv_type and request.kv_budget_bytes:
                why = "within the budget"
            reasons.append(
                f"{kv} keys and values, {why}: they make {_of_limit(memory)} "
                f"({limit_source}){''.join(refused)}.{_QUANTIZED_COST.get(kv, '')}"
            )
            reasons.append(_resident(memory, is_apart=attends_on_cpu))
            return kv, memory
        refused.append(f"; {kv} would make {format_bytes(memory.host_bytes)}")
    largest = largest_window(
        info,
        request.target_ctx,
        kv_type=candidates[-1],
        limit_bytes=limit,
        estimate=lambda n_ctx: fitting.estimate(n_ctx, candidates[-1]),
    )
    advice = (
        f"The largest window that fits is {largest:,} tokens: ask for target_ctx={largest}, or"
        if largest
        else "Not even the smallest window fits:"
    )
    raise PlanError(
        f"{info.name} with {request.target_ctx:,} tokens needs {memory} with {candidates[-1]} keys "
        f"and values, and the limit is {format_bytes(limit)} ({limit_source}). {advice} "
        "raise memory_limit, free memory, or take a smaller model",
        largest_ctx=largest,
    )
