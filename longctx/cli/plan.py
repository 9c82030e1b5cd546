"""``longctx plan``: what a window would take, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from longctx.cli.opening import ModelArgument, planned, plans_window
from longctx.cli.output import print_json, show_plan


@plans_window
def plan(
    model: ModelArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    planning: dict[str, Any],
) -> None:
    """Choose scale, method, KV types and memory for a window, and say why.

    Example: `longctx plan model.gguf --target-ctx 32768 --memory 6GiB`
    """
    from longctx.chat import PromptTemplate

    chosen = planned(model, planning)
    chosen = chosen.warned(*PromptTemplate(chosen.info.chat_template).warnings)
    if as_json:
        print_json(chosen)
    else:
        show_plan(chosen)
