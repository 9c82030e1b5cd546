"""``longctx inspect``: what a GGUF says about itself."""

from __future__ import annotations

from typing import Annotated

import typer

from longctx.cli.opening import ModelArgument
from longctx.cli.output import out, print_json


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
