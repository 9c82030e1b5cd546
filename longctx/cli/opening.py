"""How a model is opened, on every command that opens one."""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from longctx.cli.taking import Command, option, taking

_PANEL = "Model"
TemplateOption = Annotated[
    str | None,
    typer.Option(
        help="A Jinja file, or a name such as chatml. Default: the model file's own.",
        rich_help_panel=_PANEL,
    ),
]


def _option(name: str, kind: Any, text: str, default: Any = None, **more: Any) -> Parameter:
    return option(name, kind, text, default, rich_help_panel=_PANEL, **more)


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
}
"""Options of :class:`longctx.planner.PlanOptions`, by the names that they have there."""

OPENING = {
    **PLANNING,
    "chat_template": Parameter(
        "chat_template", Parameter.KEYWORD_ONLY, default=None, annotation=TemplateOption
    ),
    "n_threads": _option(
        "threads", int | None, "Of llama.cpp. Default: what the machine bears.", min=1
    ),
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
