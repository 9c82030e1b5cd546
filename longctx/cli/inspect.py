"""``longctx inspect``: what a GGUF says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.opening import ModelArgument
from longctx.cli.output import out, print_json

if TYPE_CHECKING:
    from longctx.model_info import ModelInfo


def inspect(
    model: ModelArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a model's window, heads, RoPE, whether its window can be scaled, and what its chat
    template loses.

    No weights are loaded. Example: `longctx inspect model.gguf`
    """
    from longctx.chat import PromptTemplate
    from longctx.model_info import ModelInfo
    from longctx.models import find_model

    info = ModelInfo.from_gguf(find_model(model).path)
    warnings = PromptTemplate(info.chat_template).warnings
    info = info.model_copy(update={"notes": (*info.notes, *warnings)})
    if as_json:
        print_json(info)
    else:
        out.print(repr(info), markup=False)
        for line in _placed(info):
            out.print(line, markup=False)


def _placed(info: ModelInfo) -> list[str]:
    """Which layers fit the GPUs of this machine, in the trained window; nothing without one."""
    from longctx.errors import LongCtxError
    from longctx.planner import plan_context

    try:
        plan = plan_context(info, info.n_ctx_train)
    except LongCtxError:  # it does not fit at all, which `plan` has words for
        return []
    return [
        f"  {place.device:<16} {place.n_layers} of {plan.placement.n_layers} layers in the "
        f"trained window: {place}"
        for place in plan.memory.places
    ]
