"""How commands are told of a model, and how it is opened: declared once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.output import errors
from longctx.cli.taking import Command, option, taking

if TYPE_CHECKING:
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
        "error refuses what does not fit; slide drops the oldest tokens.",
        "error",
    ),
    "n_keep": _option(
        "n_keep", int | None, "First tokens that a sliding window keeps. Default: 4.", min=0
    ),
    "kv_type": _option("kv_type", str, "auto, f16, bf16, q8_0 or q4_0.", "auto"),
    "memory_limit": _option(
        "memory", str | None, "Limit, such as 6GiB. Default: what is free now."
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

OPENING = {
    **PLANNING,
    "chat_template": Parameter(
        "chat_template", Parameter.KEYWORD_ONLY, default=None, annotation=TemplateOption
    ),
    "n_threads": _option("threads", int | None, "Threads of llama.cpp. Default: measured.", min=1),
    "n_gpu_layers": _option("gpu_layers", int, "Layers to place on the GPU, -1 for all.", 0),
    "cache_dir": _option(
        "cache_dir",
        Path | None,
        "Keep long conversations and documents here: the next run does not read them again.",
    ),
}
"""Options of :class:`longctx.LongContextLLM`, by the names that they have there."""


def plans_window(command: Command) -> Command:
    """Give a command the options of a plan; it gets them as ``planning``."""
    return taking(command, "planning", PLANNING)


def opens_model(command: Command) -> Command:
    """Give a command the options of a model; it gets them as ``opening``."""
    return taking(command, "opening", OPENING)


def planned(model: str, planning: dict[str, Any]) -> ContextPlan:
    """Plan a window of a model by any of its names, with what belongs to it.

    Arguments and errors are those of :func:`longctx.find_model` and of
    :func:`longctx.plan_context`.
    """
    from longctx.models import find_model
    from longctx.planner import plan_context

    limit = planning.get("memory_limit")
    found = find_model(model, planning["target_ctx"], memory_limit=limit, announce=_announce)
    adapters = [*found.adapters, *planning.get("adapters", ())]
    plan = plan_context(found.path, **{**planning, "adapters": adapters})
    return plan.because(*found.reasons)


def model_path(model: str | None, target_ctx: int | None = None) -> Path:
    """The file of a model by any of its names, or the demo model's fast copy."""
    from longctx.models import find_model
    from longctx.packaged_model import demo_model, fast_copy

    if model is None:
        return fast_copy(demo_model(), announce=_announce)
    return find_model(model, target_ctx, announce=_announce).path


def _announce(line: str) -> None:
    errors.print(line, markup=False)
