"""From a wish to a plan: scale, method, KV types and memory, each choice with its reason."""

from __future__ import annotations

from os import PathLike

from longctx.errors import PlanError, UnsupportedModelError
from longctx.model_info import ModelInfo, format_bytes
from longctx.planner.context_plan import ContextPlan, PlanMethod, rope_for_window
from longctx.planner.memory import (
    CELL_PADDING,
    KvType,
    MemoryEstimate,
    can_quantize_kv,
    estimate_memory,
)
from longctx.planner.memory_limit import resolve_memory_limit
from longctx.planner.profile import Profile, find_profile
from longctx.planner.request import PlanRequest, check_request
from longctx.planner.self_extend import choose_self_extend

MAX_RATIO = 64
"""Trained windows beyond which a request is a slip of the keyboard; nobody has shown 64."""


def plan_context(
    model: ModelInfo | str | PathLike[str],
    target_ctx: int,
    *,
    method: str = "auto",
    kv_type: str = "auto",
    memory_limit: int | str | None = None,
    reserve_output: int = 1024,
    n_keep: int | None = None,
    overflow: str = "error",
) -> ContextPlan:
    """Plan a window.

    Args:
        model: what the file says about itself, or its path.
        target_ctx: the window wanted, in tokens; rounded up to a multiple of 256.
        method: none, linear, ntk, dynamic, ntk-by-parts, yarn, self-extend; auto takes a
            calibration profile of this model if there is one, else ntk.
        kv_type: f16, bf16, q8_0, q4_0; auto takes the first of f16, q8_0, q4_0 that fits.
        memory_limit: bytes or a text such as ``"6GiB"``; None is what is free now, less a margin.
        reserve_output: tokens kept free for the answer.
        n_keep: attention sinks that a sliding window keeps; None is 4 under ``slide``.
        overflow: what a full window does, ``error`` or ``slide``.

    Raises:
        PlanError: the request is nonsense, or no window satisfies it; ``largest_ctx`` says what
            would fit.
        UnsupportedModelError: scaling cannot reach this model.
        ModelFileError: the file cannot be read.
    """
    request = check_request(
        target_ctx,
        method=method,
        kv_type=kv_type,
        reserve_output=reserve_output,
        n_keep=n_keep,
        overflow=overflow,
    )
    limit, limit_source = resolve_memory_limit(memory_limit)
    info = _as_info(model)
    reasons: list[str] = []
    warnings: list[str] = []
    chosen, profile = _choose_method(info, request, reasons, warnings)
    rope = rope_for_window(info, request.n_ctx, chosen, profile)
    kv, memory = _choose_kv_type(info, request, limit, limit_source, reasons)
    if request.n_ctx != request.target_ctx:
        reasons.append(
            f"The window is {request.n_ctx:,} tokens, {request.target_ctx:,} rounded up to a "
            f"multiple of {CELL_PADDING}, as llama.cpp would do by itself."
        )
    scale = rope.scale
    far = None
    if chosen == "self-extend":
        far, scale = choose_self_extend(info, request.n_ctx), request.n_ctx / info.n_ctx_train
        reasons.append(
            f"Below {far.start:,} tokens nothing changes; from there the oldest {far.block:,} at a "
            f"time share positions, {far.group} to each. Frequencies stay as trained."
        )
    warnings += _doubts(info, chosen, rope.scale, profile, kv)
    return ContextPlan(
        info=info,
        n_ctx=request.n_ctx,
        n_ctx_train=info.n_ctx_train,
        scale=scale,
        method=chosen,
        rope=rope,
        self_extend=far,
        kv_type_k=kv,
        kv_type_v=kv,
        memory=memory,
        reserve_output=request.reserve_output,
        n_keep=request.n_keep,
        overflow=request.overflow,
        profile=profile,
        reasons=tuple(reasons),
        warnings=tuple(warnings),
    )


def _as_info(model: ModelInfo | str | PathLike[str]) -> ModelInfo:
    if isinstance(model, ModelInfo):
        return model
    if isinstance(model, str | PathLike):
        return ModelInfo.from_gguf(model)
    raise PlanError(
        f"the model is a {type(model).__name__}; pass a ModelInfo or the path of a GGUF"
    )


def _choose_method(
    info: ModelInfo, request: PlanRequest, reasons: list[str], warnings: list[str]
) -> tuple[PlanMethod, Profile | None]:
    trained = f"the trained window of {info.n_ctx_train:,} tokens"
    if request.target_ctx <= info.n_ctx_train:
        reasons.append(f"No scaling: {request.target_ctx:,} tokens lie within {trained}.")
        return "none", None
    ratio = request.n_ctx / info.n_ctx_train
    if ratio > MAX_RATIO:
        largest = MAX_RATIO * info.n_ctx_train // CELL_PADDING * CELL_PADDING
        raise PlanError(
            f"target_ctx={request.target_ctx:,} is {ratio:,.0f} times {trained}, and no method is "
            f"known to hold beyond {MAX_RATIO}; ask for at most {largest:,}",
            largest_ctx=largest or None,
        )
    if request.method == "none":
        reasons.append("No scaling, as asked for.")
        warnings.append(
            f"Without scaling the model meets positions past {trained} that it never saw; "
            "perplexity usually explodes there (SmolLM2-135M: from 12 to 588 at twice its window)."
            if info.scaling_support != "none"
            else f"The model was not trained past {trained}, and no scaling can help it there."
        )
        return "none", None
    if info.scaling_support == "none":
        raise UnsupportedModelError(
            f"{info.name} ({info.architecture}) cannot be scaled to {request.target_ctx:,} tokens: "
            f"{info.notes[-1][0].lower()}{info.notes[-1][1:]} Ask for at most "
            f"{info.n_ctx_train:,}, or pass method='none' to go past it as it is."
        )
    if request.method is not None:
        reasons.append(
            f"{request.method}, as asked for: {request.n_ctx:,} tokens are {ratio:.3g} times "
            f"{trained}."
        )
        return request.method, None
    profile, warning = find_profile(info)
    if warning:
        warnings.append(warning)
    if profile is not None:
        reasons.append(
            f"{profile.method}: a calibration measured it as the best for this model, up to "
            f"{profile.window:,} tokens."
        )
        if request.n_ctx > profile.window:
            warnings.append(
                f"The calibration went up to {profile.window:,} tokens; {request.n_ctx:,} were "
                "never measured."
            )
        return profile.method, profile
    reasons.append(
        f"ntk: {request.n_ctx:,} tokens are {ratio:.3g} times {trained}, and no calibration of "
        "this model says otherwise; NTK-aware scaling needs no fine-tuning."
    )
    return "ntk", None


def _choose_kv_type(
    info: ModelInfo, request: PlanRequest, limit: int, limit_source: str, reasons: list[str]
) -> tuple[KvType, MemoryEstimate]:
    obstacle = can_quantize_kv(info)
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
        memory = estimate_memory(info, request.n_ctx, kv_type=kv, limit_bytes=limit)
        if memory.total_bytes <= limit:
            why = "as asked for" if request.kv_type else "the most exact that fits"
            reasons.append(
                f"{kv} keys and values, {why}: they make {memory} of {format_bytes(limit)} "
                f"({limit_source}){''.join(refused)}."
            )
            return kv, memory
        refused.append(f"; {kv} would make {format_bytes(memory.total_bytes)}")
    largest = _largest_window(info, candidates[-1], limit, request.n_ctx)
    advice = (
        f"The largest window that fits is {largest:,} tokens: ask for target_ctx={largest}, or"
        if largest
        else "Not even the smallest window fits:"
    )
    raise PlanError(
        f"{info.name} with {request.n_ctx:,} tokens needs {memory} with {candidates[-1]} keys and "
        f"values, and the limit is {format_bytes(limit)} ({limit_source}). {advice} "
        "raise memory_limit, free memory, or take a smaller model",
        largest_ctx=largest,
    )


def _largest_window(info: ModelInfo, kv: KvType, limit: int, n_ctx: int) -> int | None:
    """The largest multiple of 256 below ``n_ctx`` whose estimate fits, by bisection."""
    fits, fails = 0, n_ctx // CELL_PADDING
    while fails - fits > 1:
        middle = (fits + fails) // 2
        total = estimate_memory(info, middle * CELL_PADDING, kv_type=kv).total_bytes
        fits, fails = (middle, fails) if total <= limit else (fits, middle)
    return fits * CELL_PADDING or None


def _doubts(
    info: ModelInfo, method: PlanMethod, scale: float, profile: Profile | None, kv: KvType
) -> list[str]:
    doubts = []
    if scale > 1:
        if scale > 4 and profile is None:
            doubts.append(
                f"s = {scale:.3g} is above 4 and no calibration of this model covers it; measure "
                "before you trust it."
            )
        if method in ("ntk", "dynamic") and scale >= 3 and profile is None:
            doubts.append(
                "NTK-aware scaling gives out before s times the window: on SmolLM2-135M NTK at "
                "s=4 gave out at 3.3 times the trained window. YaRN held to the end."
            )
        if info.rope_scaling is not None:
            doubts.append(
                f"The file already scales its RoPE ({info.rope_scaling}); this scaling comes on "
                "top, which is little tried."
            )
        if info.scaling_support == "global-layers":
            sliding = sum(layer.kind == "sliding" for layer in info.layers)
            doubts.append(
                f"{sliding} of {info.n_layer} layers slide over {info.sliding_window:,} tokens and "
                "keep their own RoPE: scaling does not affect them."
            )
        if any(layer.kind in ("mla", "recurrent") for layer in info.layers) or (
            info.rope_type == "mrope"
        ):
            doubts.append(
                "Cached keys of this model cannot be re-rotated (compressed keys, M-RoPE or a "
                "recurrent state): growing the window costs a second prefill."
            )
    if kv == "q4_0":
        doubts.append(
            "q4_0 keys and values cost quality; a smaller window with q8_0 may serve better."
        )
    doubts += [note for note in info.notes if "leaves out" in note]
    return doubts
