"""Which method scales a window: as asked for, as measured, or as the study of all of them found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from longctx.errors import PlanError, UnsupportedModelError
from longctx.model_info import Adapter, ModelInfo
from longctx.planner.context_plan import PlanMethod
from longctx.planner.memory import CELL_PADDING, KvType
from longctx.planner.profile import Profile, ProfileParameters, adapter_keys, find_profile
from longctx.planner.request import PlanRequest
from longctx.planner.self_extend import self_extend_obstacle

MAX_RATIO = 64
"""Trained windows beyond which a request is a slip of the keyboard; nobody has shown 64."""

FALLBACK: PlanMethod = "yarn"
"""What grows a window whose positions cannot be grouped (docs/elastic-window.md)."""


@dataclass(frozen=True)
class Scaling:
    """A method, how it is set, and the calibration that this is of, if any."""

    method: PlanMethod
    parameters: ProfileParameters = field(default_factory=ProfileParameters)
    profile: Profile | None = None


def choose_method(
    info: ModelInfo,
    request: PlanRequest,
    adapters: Sequence[Adapter],
    reasons: list[str],
    warnings: list[str],
) -> Scaling:
    """Choose how positions are scaled; say why, and what to doubt.

    A calibration with these adapters goes before one of the model alone.

    Raises:
        PlanError: nobody has shown so large a window.
        UnsupportedModelError: scaling cannot reach this model.
    """
    trained = f"the trained window of {info.n_ctx_train:,} tokens"
    if request.target_ctx <= info.n_ctx_train:
        reasons.append(f"No scaling: {request.target_ctx:,} tokens lie within {trained}.")
        return Scaling("none")
    ratio = request.target_ctx / info.n_ctx_train
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
        return Scaling("none")
    if info.scaling_support == "none":
        raise UnsupportedModelError(
            f"{info.name} ({info.architecture}) cannot be scaled to {request.target_ctx:,} tokens: "
            f"{info.notes[-1][0].lower()}{info.notes[-1][1:]} Ask for at most "
            f"{info.n_ctx_train:,}, or pass method='none' to go past it as it is."
        )
    if request.method == "longrope":
        return _longrope(info, request, adapters, reasons)
    if request.method is not None:
        parameters = request.parameters or ProfileParameters()
        reasons.append(
            f"{request.method}{parameters}, {request.chosen_by}: {request.target_ctx:,} tokens are "
            f"{ratio:.3g} times {trained}."
        )
        measured_so = (
            request.profile if request.profile and request.profile.adapter_sha256 else None
        )
        return Scaling(request.method, parameters, measured_so)
    profile, warning = (request.profile, None) if request.profile else find_profile(info, adapters)
    if warning:
        warnings.append(warning)
    if profile is not None and profile.adapter_sha256 is not None:
        warnings.append(
            "The calibration is ignored, which was measured with an adapter: pass that as adapters."
        )
        profile = None
    if profile is not None and profile.measured_with not in ((), adapter_keys(adapters)):
        warnings.append("The calibration is ignored, which was measured with other LoRA adapters.")
        profile = None
    choice = profile.choice(request.target_ctx) if profile else None
    if choice is not None and choice.method == "self-extend":
        obstacle = self_extend_obstacle(info, request.target_ctx, choice.parameters)
        if obstacle is not None:
            warnings.append(f"The calibration is ignored, which chose self-extend: {obstacle}.")
            choice = None
    if profile is not None and choice is not None:
        measured = profile.measured(choice)
        reasons.append(
            f"{choice.method}{choice.parameters}: a calibration chose it for this model"
            f"{_measured_with(profile, adapters)} at {choice.window:,} tokens"
            f"{f' ({measured})' if measured else ''}."
        )
        if request.target_ctx > profile.window:
            warnings.append(
                f"The calibration went up to {profile.window:,} tokens; {request.target_ctx:,} "
                "were never measured."
            )
        return Scaling(choice.method, choice.parameters, profile)
    ratio_text = f"{request.target_ctx:,} tokens are {ratio:.3g} times {trained}"
    if request.window == "fixed":
        reasons.append(
            f"ntk: {ratio_text}, and no calibration of this model says otherwise; NTK-aware "
            "scaling needs no fine-tuning."
        )
        return Scaling("ntk")
    method, obstacle = elastic_method(info, request.target_ctx)
    if obstacle is None:
        reasons.append(
            f"self-extend: {ratio_text}, and of all ways to grow a window it kept perplexity and "
            "facts best where they were measured (docs/elastic-window.md)."
        )
        return Scaling(method)
    reasons.append(f"{method}: {ratio_text}; self-extend is out, because {obstacle}.")
    return Scaling(method)


def _measured_with(profile: Profile, adapters: Sequence[Adapter]) -> str:
    if not any(adapter.scale for adapter in adapters):
        return ""
    return " with its adapters" if profile.measured_with else " without its adapters"


def elastic_method(info: ModelInfo, n_ctx: int) -> tuple[PlanMethod, str | None]:
    """What grows a window that nobody measured; and what is in the way of Self-Extend, if so."""
    obstacle = self_extend_obstacle(info, n_ctx)
    return ("self-extend" if obstacle is None else FALLBACK), obstacle


def _longrope(
    info: ModelInfo, request: PlanRequest, adapters: Sequence[Adapter], reasons: list[str]
) -> Scaling:
    """Longrope by factors that were given, or found by a calibration; no formula gives them."""
    profile = None if request.parameters else request.profile or find_profile(info, adapters)[0]
    choice = profile.choice(request.target_ctx) if profile else None
    parameters = request.parameters or (choice.parameters if choice else None)
    if parameters is None or parameters.frequency_factors is None:
        raise PlanError(
            "longrope divides each frequency by a factor that must be searched for, and no "
            f"calibration of {info.name} has chosen such: run `longctx calibrate MODEL --methods "
            "longrope`, or take method='yarn'"
        )
    reasons.append(f"longrope{parameters}, as asked for.")
    return Scaling("longrope", parameters, profile)


def elastic_steps(info: ModelInfo, method: PlanMethod, windows: tuple[int, ...]) -> str:
    """What an elastic window does when: ``windows`` are its steps in tokens."""
    first, *later = windows
    stages = ", ".join(
        f"{n_ctx:,} tokens"
        if method == "self-extend"
        else f"{n_ctx:,} tokens (s = {n_ctx / info.n_ctx_train:.3g})"
        for n_ctx in later
    )
    how = (
        "each growth prefills the text again"
        if info.turning_obstacle
        else "the cached keys are re-rotated, nothing is prefilled again"
    )
    return (
        f"Elastic: as trained up to {first:,} tokens, then {stages}, when the text needs it; {how}."
    )


def doubts(
    info: ModelInfo, method: PlanMethod, scale: float, profile: Profile | None, kv: KvType
) -> list[str]:
    """What to warn of in a plan that is otherwise fine."""
    found = []
    if scale > 1:
        if scale > 4 and profile is None:
            found.append(
                f"s = {scale:.3g} is above 4 and no calibration of this model covers it; measure "
                "before you trust it."
            )
        if method in ("ntk", "dynamic") and scale >= 3 and profile is None:
            found.append(
                "NTK-aware scaling fails before s times the trained window: on SmolLM2-135M NTK at "
                "s=4 failed at 3.3 times the trained window. YaRN held to the end."
            )
        if info.rope_scaling is not None and method != "self-extend":
            found.append(
                f"The file already scales its RoPE ({info.rope_scaling}); this scaling comes on "
                "top, which is little tried."
            )
        if info.scaling_support == "global-layers" and method != "self-extend":
            sliding = sum(layer.kind == "sliding" for layer in info.layers)
            found.append(
                f"{sliding} of {info.n_layer} layers slide over {info.sliding_window:,} tokens and "
                "keep their own RoPE: scaling does not affect them."
            )
        if (obstacle := info.turning_obstacle) is not None:
            found.append(
                f"Cached keys of this model cannot be re-rotated, because {obstacle}: growing the "
                "window costs a second prefill."
            )
    if kv == "q4_0":
        found.append(
            "q4_0 keys and values cost quality; a smaller window with q8_0 may serve better."
        )
    found += [note for note in info.notes if "leaves out" in note]
    return found
