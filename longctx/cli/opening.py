"""How commands are told of a model and what belongs to it: declared once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import Unpack

from longctx.cli.output import errors

if TYPE_CHECKING:
    from longctx.planner import ContextPlan, PlanOptions

_KINDS = "A GGUF file, hf:OWNER/REPO[:QUANTIZATION], or ollama:NAME."
_DEFAULT = f"{_KINDS} Default: the demo model."

ModelArgument = Annotated[str, typer.Argument(help=_KINDS)]
ModelOrDemo = Annotated[str | None, typer.Argument(help=_DEFAULT)]
ModelOption = Annotated[str | None, typer.Option(help=_DEFAULT)]
AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH[:SCALE]", help="A LoRA adapter (GGUF) for the model; can be repeated."
    ),
]


def adapters_of(given: Iterable[str] | None) -> list[tuple[str, float]]:
    """Paths and scales of adapters; what stands behind the last colon is one if it is a number."""
    return [_adapter(each) for each in given or ()]


def planned(
    model: str, target_ctx: int, adapter: Iterable[str] | None, **options: Unpack[PlanOptions]
) -> ContextPlan:
    """Plan a window of a model by any of its names, with what belongs to it.

    Arguments and errors are those of :func:`longctx.find_model` and of
    :func:`longctx.plan_context`.
    """
    from longctx.models import find_model
    from longctx.planner import plan_context

    found = find_model(
        model, target_ctx, memory_limit=options.get("memory_limit"), announce=_announce
    )
    options["adapters"] = [*found.adapters, *adapters_of(adapter)]
    return plan_context(found.path, target_ctx, **options).because(*found.reasons)


def model_path(model: str | None, target_ctx: int | None = None) -> Path:
    """The file of a model by any of its names, or the demo model's fast copy."""
    from longctx.models import find_model
    from longctx.packaged_model import demo_model, fast_copy

    if model is None:
        return fast_copy(demo_model(), announce=_announce)
    return find_model(model, target_ctx, announce=_announce).path


def _announce(line: str) -> None:
    errors.print(line, markup=False)


def _adapter(text: str) -> tuple[str, float]:
    path, colon, scale = text.rpartition(":")
    if colon and path:
        with suppress(ValueError):
            return path, float(scale)
    return text, 1.0
