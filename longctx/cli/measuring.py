"""What the commands of ``longctx eval`` share: their options, and a run from model to table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from longctx.cli.output import errors, out, prefill_bar, print_json

if TYPE_CHECKING:
    from longctx.evaluate import EvaluationResult
    from longctx.llm import LongContextLLM
    from longctx.types import ProgressCallback

Result = TypeVar("Result", bound="EvaluationResult")
Number = TypeVar("Number", int, float)
Run: TypeAlias = "Callable[[LongContextLLM, ProgressCallback], Result]"
"""One measurement of an open model."""

Methods = Annotated[
    str,
    typer.Option(
        help="Separated by commas: auto, none, linear, ntk, ntk-by-parts, yarn, self-extend, each "
        "in a fixed window; elastic, or elastic:METHOD, in one that grows with the text."
    ),
]
TargetCtx = Annotated[
    int | None, typer.Option(help="The window, in tokens. Default: what the lengths need.")
]
Length = Annotated[int, typer.Option(help="Tokens of text to measure on.")]
Lengths = Annotated[str, typer.Option(help="Tokens, separated by commas.")]
Depths = Annotated[
    str, typer.Option(help="Where it is hidden, in percent of the text, separated by commas.")
]
File = Annotated[
    str | None, typer.Option(help="A text of your own instead of the Python reference.")
]
Seed = Annotated[int, typer.Option(help="Draws texts, facts and places; the same again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with every answer.")]
Plot = Annotated[
    str | None, typer.Option(help="Draw into this file: .png, .svg, .pdf (extra `eval`).")
]
Html = Annotated[
    str | None,
    typer.Option(help="Write one page with figure, table and settings (extra `eval`)."),
]


@dataclass(frozen=True)
class Shown:
    """How results are shown besides a table: as JSON in its place, drawn, as a page."""

    as_json: bool = False
    plot: str | None = None
    html: str | None = None

    def check(self) -> None:
        """Refuse files that could not be written, before the measurement."""
        from longctx.evaluate import check_plot, check_report

        if self.plot is not None:
            check_plot(self.plot)
        if self.html is not None:
            check_report(self.html)


def measure_each(
    kind: type[Result],
    run: Run[Result],
    model: str | None,
    methods: str,
    target_ctx: int,
    *,
    shown: Shown,
    **opening: Any,
) -> None:
    """Run one measure by each method, and show what came of it, also of an interrupted run."""
    if not (names := entries(methods)):
        raise typer.BadParameter("--methods is empty; give at least one, such as ntk")
    ways = {name: ({**opening, **_opening(name)}, run) for name in names}
    run_ways(kind, ways, model, target_ctx, shown=shown)


def run_ways(
    kind: type[Result],
    ways: Mapping[str, tuple[Mapping[str, Any], Run[Result]]],
    model: str | None,
    target_ctx: int,
    *,
    shown: Shown,
) -> None:
    """Open a model in several ways, by name, measure each, and show what came of it."""
    from longctx.llm import LongContextLLM

    shown.check()
    results: list[Result] = []
    try:
        for name, (opening, run) in ways.items():
            options = {"reserve_output": 1, **opening}
            with (
                LongContextLLM(model, target_ctx, **options) as llm,
                prefill_bar(name) as progress,
            ):
                results.append(run(llm, progress))
    except KeyboardInterrupt:
        if results:
            errors.print("stopped; this much was measured:")
            _show(kind, results, shown)
        raise
    _show(kind, results, shown)


def _opening(name: str) -> dict[str, Any]:
    """The options that a name in --methods stands for."""
    if name == "elastic":
        return {"method": "auto", "window": "elastic"}
    if name.startswith("elastic:"):
        return {"method": name.removeprefix("elastic:"), "window": "elastic"}
    return {"method": name, "window": "fixed"}


def _show(kind: type[Result], results: Sequence[Result], shown: Shown) -> None:
    from longctx.evaluate import EvaluationRun, write_report

    run = EvaluationRun.of(results, command=shlex.join(["longctx", *sys.argv[1:]]))
    if shown.as_json:
        print_json(run)
    else:
        out.print(kind.table(results), markup=False, soft_wrap=True)
    if shown.plot is not None:
        kind.plot_all(results, shown.plot)
        errors.print(f"drawn into {shown.plot}", markup=False)
    if shown.html is not None:
        write_report(shown.html, [run])
        errors.print(f"written: {shown.html}", markup=False)


def text_of(file: str | None) -> str | None:
    """The text of a document; None stays None."""
    if file is None:
        return None
    from longctx.documents import load_document

    return load_document(file).text


def entries(text: str) -> list[str]:
    """What stands between commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def numbers(option: str, text: str, kind: type[Number]) -> list[Number]:
    """Numbers between commas, of an option that is named where they are none."""
    try:
        numbers = [kind(entry) for entry in entries(text)]
    except ValueError as error:
        raise typer.BadParameter(
            f"{option} is {text!r}; give numbers separated by commas"
        ) from error
    if not numbers:
        raise typer.BadParameter(f"{option} is empty; give at least one number")
    return numbers
