"""An adapter that was taught a map of positions: the plan runs that map, and refuses another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from pydantic import ValidationError

from longctx.errors import ModelFileError, PlanError
from longctx.model_info import Adapter, ModelInfo, TrainedFor
from longctx.planner.context_plan import PlanMethod
from longctx.planner.profile import ProfileParameters
from longctx.planner.request import PlanRequest


def as_trained(
    request: PlanRequest, info: ModelInfo, adapters: Sequence[Adapter], reasons: list[str]
) -> PlanRequest:
    """The request, with the map that its adapters were trained for.

    Raises:
        PlanError: the request, or a second adapter, wants another map, or the window is none that
            the adapter was trained for; or the profile is that of another adapter.
        ModelFileError: an adapter says wrongly what it was trained for.
    """
    taught = [adapter for adapter in adapters if adapter.trained_for and adapter.scale]
    _check_profile(request, adapters)
    if not taught:
        return request
    adapter, *others = taught
    trained = adapter.trained_for
    assert trained is not None
    for other in others:
        if other.trained_for != trained:
            raise PlanError(
                f"{adapter.path.name} was trained for {trained} and {other.path.name} for "
                f"{other.trained_for}: a window has one map; use one of them"
            )
    name = adapter.path.name
    if request.method not in (None, trained.method):
        raise PlanError(
            f"{name} was trained for {trained}, not for method={request.method!r}: name no method, "
            "or leave the adapter out"
        )
    if request.target_ctx > trained.target_ctx:
        raise PlanError(
            f"{name} was trained for {trained}, not for {request.target_ctx:,}: ask for less, or "
            "run `longctx finetune` for the larger window",
            largest_ctx=trained.target_ctx,
        )
    parameters = _parameters(name, trained)
    if trained.method == "self-extend" and request.target_ctx <= info.n_ctx_train:
        return request  # where no position is shared yet, with the adapter as without
    if trained.method != "self-extend":
        parameters = _same_scale(name, trained, parameters, request.target_ctx, info)
    if request.parameters not in (None, parameters):
        raise PlanError(f"{name} was trained with its own parameters; leave them out")
    reasons.append(
        f"{name} was trained for {trained} beside {trained.base_name}, so that is what runs."
    )
    # Frequencies are those of the trained window from the first token on.
    window = request.window if trained.method == "self-extend" else "fixed"
    return replace(
        request,
        method=cast(PlanMethod, trained.method),
        parameters=parameters,
        window=window,
        chosen_by=f"as {name} was trained",
    )


def _check_profile(request: PlanRequest, adapters: Sequence[Adapter]) -> None:
    profile = request.profile
    if profile is None or profile.adapter_sha256 is None:
        return
    if profile.adapter_sha256 not in {adapter.sha256 for adapter in adapters if adapter.scale}:
        raise PlanError(
            f"the profile was measured with the adapter {profile.adapter_sha256[:12]}…, which is "
            "not among this plan's: pass it as adapters, or another profile"
        )


def _parameters(name: str, trained: TrainedFor) -> ProfileParameters:
    try:
        return ProfileParameters.model_validate_json(trained.parameters)
    except ValidationError as error:
        raise ModelFileError(
            f"{name} says wrongly how its map is set ({trained.parameters[:80]!r}); run `longctx "
            "finetune` again"
        ) from error


def _same_scale(
    name: str,
    trained: TrainedFor,
    parameters: ProfileParameters,
    target_ctx: int,
    info: ModelInfo,
) -> ProfileParameters:
    """The trained s, whatever the window."""
    least = max(info.n_ctx_train + 1, -(-trained.target_ctx // 16))
    if target_ctx < least:
        raise PlanError(
            f"{name} was trained for {trained}, whose frequencies hold from the first token on: "
            f"ask for {least:,} to {trained.target_ctx:,} tokens, or leave the adapter out"
        )
    factor = parameters.scale_factor * trained.target_ctx / target_ctx
    return parameters.model_copy(update={"scale_factor": factor})
