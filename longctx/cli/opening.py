"""How commands are told of a model, and how it is opened: declared once for all of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.output import errors
from longctx.cli.taking import Command, option, taking

if TYPE_CHECKING:
    from longctx.devices import DeviceOptions
    from longctx.models import ModelFile
    from longctx.planner import ContextPlan

_PANEL = "Model"
_KINDS = "A GGUF file, hf:OWNER/REPO[:QUANTIZATION], or ollama:NAME."
_DEFAULT = f"{_KINDS} Default: the demo model."

ModelArgument = Annotated[str, typer.Argument(help=_KINDS)]
ModelOrDemo = Annotated[str | None, typer.Argument(help=_DEFAULT)]
ModelOption = Annotated[str | None, typer.Option(help=_DEFAULT)]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        help="A Jinja file, or a name such as chatml. Default: the model file's own.",
        rich_help_panel=_PANEL,
    ),
]


def _option(name: str, kind: Any, text: str, default: Any = None, **more: Any) -> Parameter:
    return option(name, kind, text, default, rich_help_panel=_PANEL, **more)


def _adapters(given: Iterable[str] | None) -> list[tuple[str, float]] | None:
    return [_adapter(each) for each in given or ()] or None


def _adapter(text: str) -> tuple[str, float]:
    """Path and scale; what stands behind the last colon is one if it is a number."""
    path, colon, scale = text.rpartition(":")
    if colon and path:
        with suppress(ValueError):
            return path, float(scale)
    return text, 1.0


def _split(given: str | None) -> list[float] | None:
    if given is None:
        return None
    try:
        return [float(share) for share in re.split("[,/]", given)]
    except ValueError:
        raise typer.BadParameter(f"{given!r} is no list of shares, such as 3,1") from None


PLANNING = {
    "target_ctx": _option("target_ctx", int, "The window wanted, in tokens.", 32_768),
    "method": _option(
        "method",
        str,
        "auto, none, linear, ntk, dynamic, ntk-by-parts, yarn, self-extend, or longrope once "
        "calibrated.",
        "auto",
    ),
    "window": _option(
        "window", str, "elastic grows with the text; fixed is scaled from the start.", "elastic"
    ),
    "overflow": _option(
        "overflow",
        str,
        "error refuses what does not fit; slide drops the oldest tokens; compress keeps the best "
        "of them, fewer as they age.",
        "error",
    ),
    "n_keep": _option(
        "n_keep",
        int | None,
        "First tokens that a window keeps when it slides or compresses. Default: 4.",
        min=0,
    ),
    "kv_type": _option("kv_type", str, "auto, f16, bf16, q8_0 or q4_0.", "auto"),
    "memory_limit": _option(
        "memory", str | None, "Limit, such as 6GiB. Default: what is free now."
    ),
    "kv_budget": _option(
        "kv_budget",
        str | None,
        "What the KV cache may take at most, such as 2GiB: fewer bits first, then the oldest are "
        "compressed. Default: what the window takes.",
    ),
    "reserve_output": _option(
        "reserve_output",
        int | None,
        "Tokens that must be free when an answer begins. Default: 1024, or a quarter of a smaller "
        "window.",
    ),
    "adapters": _option(
        "adapter",
        list[str] | None,
        "A LoRA adapter (GGUF) for the model; can be repeated.",
        metavar="PATH[:SCALE]",
        callback=_adapters,
    ),
}
"""Options of :class:`longctx.planner.PlanOptions`, by the names that they have there."""

DEVICES = {
    "gpu_layers": _option(
        "gpu_layers",
        str | None,
        "Layers to place on GPUs: auto is as many as fit, all (or -1) must fit, 0 is none. "
        "Default: auto.",
    ),
    "experts_on_cpu": _option(
        "experts_on_cpu",
        str | None,
        "Of a mixture of experts, in how many layers they stay with the processor: auto, all or a "
        "number. Default: auto.",
    ),
    "main_gpu": _option(
        "main_gpu",
        int | None,
        "The one GPU to use, by its number in `longctx doctor`. Default: all that are needed.",
        min=0,
    ),
    "tensor_split": _option(
        "tensor_split",
        str | None,
        "Shares of the layers for each GPU, such as 3,1. Default: as their free memory is.",
        callback=_split,
    ),
    "kv_on_gpu": _option(
        "kv_on_gpu",
        bool | None,
        "Keep keys and values on the GPU that has their layer, or in the host's memory. Default: "
        "on the GPU.",
    ),
    "flash_attention": _option("flash_attention", str | None, "auto, on or off. Default: auto."),
    "n_batch": _option("batch", int | None, "Tokens that are computed at once. Default: 512."),
    "mlock": _option("mlock", bool | None, "Keep the weights from being swapped out. Default: no."),
}
"""Options of :class:`longctx.DeviceOptions`, by the names that they have there."""

OPENING = {
    **PLANNING,
    "chat_template": Parameter(
        "chat_template", Parameter.KEYWORD_ONLY, default=None, annotation=TemplateOption
    ),
    "n_threads": _option("threads", int | None, "Threads of llama.cpp. Default: measured.", min=1),
    "cache_dir": _option(
        "cache_dir",
        Path | None,
        "Keep long conversations and documents here: the next run does not read them again.",
    ),
}
"""Options of :class:`longctx.LongContextLLM`, by the names that they have there."""


_CALLED = {
    key: f"--{option.name.replace('_', '-')}"
    for key, option in {**OPENING, **DEVICES}.items()
    if "_" in key
}


def in_options(text: str) -> str:
    """An error's words with the options in place of the arguments that they name."""
    return re.sub(rf"(?<![\w.-])({'|'.join(_CALLED)})\b", lambda found: _CALLED[found[0]], text)


def plans_window(command: Command) -> Command:
    """Give a command the options of a plan; it gets them as ``planning``."""
    return taking(_on_devices(command, "planning"), "planning", {**PLANNING, **DEVICES})


def opens_model(command: Command) -> Command:
    """Give a command the options of a model; it gets them as ``opening``."""
    return taking(_on_devices(command, "opening"), "opening", {**OPENING, **DEVICES})


def takes_adapters(command: Command) -> Command:
    """Give a command the option of LoRA adapters; it gets them in ``adapting``, if there are."""
    return taking(command, "adapting", {"adapters": PLANNING["adapters"]})


def _on_devices(command: Command, collected: str) -> Command:
    """Give a command what its options say of devices as ``devices``, where they say something."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        options = given[collected]
        asked = {name: options.pop(name) for name in DEVICES if name in options}
        if asked:
            options["devices"] = _device_options(asked)
        command(**given)

    return wrapper


def _device_options(asked: dict[str, Any]) -> DeviceOptions:
    from longctx.devices import DeviceOptions

    if "n_batch" in asked:
        asked["n_ubatch"] = asked["n_batch"]
    return DeviceOptions(**asked)


def planned(model: str, planning: dict[str, Any]) -> ContextPlan:
    """Plan a window of a model by any of its names, with what belongs to it.

    Arguments and errors are those of :func:`longctx.find_model` and of
    :func:`longctx.plan_context`.
    """
    from longctx.models import find_model
    from longctx.planner import plan_context

    limit = planning.get("memory_limit")
    found = find_model(
        model,
        planning["target_ctx"],
        memory_limit=limit,
        devices=planning.get("devices"),
        announce=_announce,
    )
    adapters = [*found.adapters, *planning.get("adapters", ())]
    plan = plan_context(found.path, **{**planning, "adapters": adapters})
    return plan.because(*found.reasons)


def found_model(model: str | None, target_ctx: int | None = None) -> ModelFile:
    """The file of a model by any of its names, or the demo model's fast copy."""
    from longctx.models import ModelFile, find_model
    from longctx.packaged_model import demo_model, fast_copy

    if model is None:
        return ModelFile(fast_copy(demo_model(), announce=_announce))
    return find_model(model, target_ctx, announce=_announce)


def _announce(line: str) -> None:
    errors.print(line, markup=False)
