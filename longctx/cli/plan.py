"""``longctx plan``: what a window would take, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from longctx.cli.opening import AdapterOption, ModelArgument, planned
from longctx.cli.output import print_json, show_plan


def plan(
    model: ModelArgument,
    target_ctx: Annotated[int, typer.Option(help="The window wanted, in tokens.")] = 32_768,
    memory: Annotated[
        str | None, typer.Option(help="Limit, such as 6GiB. Default: what is free now.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="auto, none, linear, ntk, dynamic, ntk-by-parts, yarn or self-extend."),
    ] = "auto",
    window: Annotated[
        str, typer.Option(help="elastic grows with the text; fixed is scaled from the start.")
    ] = "elastic",
    kv_type: Annotated[str, typer.Option(help="auto, f16, bf16, q8_0 or q4_0.")] = "auto",
    reserve_output: Annotated[int, typer.Option(help="Tokens kept for the answer.")] = 1024,
    adapter: AdapterOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose scale, method, KV types and memory for a window, and say why.

    Example: `longctx plan model.gguf --target-ctx 32768 --memory 6GiB`
    """
    from longctx.chat import PromptTemplate

    chosen = planned(
        model,
        target_ctx,
        adapter,
        method=method,
        window=window,
        kv_type=kv_type,
        memory_limit=memory,
        reserve_output=reserve_output,
    )
    chosen = chosen.warned(*PromptTemplate(chosen.info.chat_template).warnings)
    if as_json:
        print_json(chosen)
    else:
        show_plan(chosen)
