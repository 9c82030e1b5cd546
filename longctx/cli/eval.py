"""``longctx eval``: measure a window, by several methods in one run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from longctx.cli.opening import ModelOrDemo, TemplateOption
from longctx.cli.output import errors, out, prefill_bar, print_json

if TYPE_CHECKING:
    from longctx.evaluate import EvaluationResult
    from longctx.llm import LongContextLLM
    from longctx.types import ProgressCallback

Result = TypeVar("Result", bound="EvaluationResult")

evaluate = typer.Typer(
    name="eval",
    help="Measure how well a model uses a window, by several methods in one run.\n\n"
    "`perplexity` says what a window costs, `recall` what it buys, with one prefill for each "
    "method; `passkey`, `needle` and `ruler` ask for answers, which takes a prefill each.\n\n"
    "Example: `longctx eval recall --length 16384 --methods none,ntk,yarn --plot recall.png`",
    no_args_is_help=True,
)

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


@evaluate.command()
def perplexity(
    model: ModelOrDemo = None,
    length: Length = 16_384,
    methods: Methods = "none,ntk,yarn",
    stride: Annotated[int, typer.Option(help="Tokens scored at each mark.")] = 512,
    marks: Annotated[
        str | None, typer.Option(help="Positions, by commas. Default: eighths of the length.")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(help="Slide a window of so many tokens, with a prefill for each mark."),
    ] = None,
    target_ctx: TargetCtx = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """Perplexity by position: lower is better, and where it explodes the window ends.

    Example: `longctx eval perplexity --methods none,ntk,yarn,elastic --plot perplexity.png`

    The control, which says what a window costs: `longctx eval perplexity --methods none
    --context 8192 --marks 12288,16384` predicts from the last 8,192 tokens alone.
    """
    from longctx.evaluate import PerplexityResult
    from longctx.evaluate import perplexity as measure

    text = _text(file)
    at = None if marks is None else _numbers("--marks", marks, int)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> PerplexityResult:
        return measure(
            llm, length, marks=at, stride=stride, context=context, text=text, seed=seed,
            on_progress=progress,
        )  # fmt: skip

    window = target_ctx or context or length
    _measure(PerplexityResult, run, model, methods, window, shown=Shown(as_json, plot, html))


@evaluate.command()
def recall(
    model: ModelOrDemo = None,
    length: Length = 16_384,
    methods: Methods = "none,ntk,yarn",
    facts: Annotated[int, typer.Option(help="Numbers hidden, 1 to 100.")] = 20,
    target_ctx: TargetCtx = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """Facts in one prefill, each asked for at the end: nats a token, 2.30 is chance.

    Tells methods apart on models that are too small to write the answers.
    Example: `longctx eval recall --length 12288 --methods none,ntk,self-extend`
    """
    from longctx.evaluate import RecallResult
    from longctx.evaluate import recall as measure

    text = _text(file)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> RecallResult:
        return measure(llm, length, n_facts=facts, text=text, seed=seed, on_progress=progress)

    _measure(
        RecallResult, run, model, methods, target_ctx or length, shown=Shown(as_json, plot, html)
    )


@evaluate.command()
def passkey(
    model: ModelOrDemo = None,
    lengths: Lengths = "4096,8192",
    methods: Methods = "auto",
    depths: Depths = "0,25,50,75,100",
    trials: Annotated[int, typer.Option(help="Keys at each length and depth.")] = 5,
    target_ctx: TargetCtx = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """One number hidden in four sentences that repeat, as in the YaRN paper.

    The easiest retrieval there is: what fails here fails everywhere.
    Example: `longctx eval passkey --lengths 2048,16384 --methods none,ntk --trials 10`
    """
    from longctx.evaluate import PasskeyResult
    from longctx.evaluate import passkey as measure

    sizes, places = _numbers("--lengths", lengths, int), _numbers("--depths", depths, float)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> PasskeyResult:
        at = [place / 100 for place in places]
        return measure(llm, sizes, depths=at, trials=trials, seed=seed, on_progress=progress)

    window = target_ctx or max(sizes)
    _measure(PasskeyResult, run, model, methods, window, shown=Shown(as_json, plot, html))


@evaluate.command()
def needle(
    model: ModelOrDemo = None,
    lengths: Lengths = "4096,8192",
    methods: Methods = "auto",
    depths: Depths = "0,25,50,75,100",
    trials: Annotated[int, typer.Option(help="Needles at each length and depth.")] = 3,
    target_ctx: TargetCtx = None,
    chat_template: TemplateOption = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """One sentence hidden in prose, asked in the chat template; --plot draws the heat map.

    Example: `longctx eval needle --lengths 2048,4096,8192,16384 --methods elastic
    --plot needle.png`
    """
    from longctx.evaluate import NeedleResult
    from longctx.evaluate import needle as measure

    text = _text(file)
    sizes, places = _numbers("--lengths", lengths, int), _numbers("--depths", depths, float)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> NeedleResult:
        at = [place / 100 for place in places]
        return measure(
            llm, sizes, depths=at, trials=trials, text=text, seed=seed, on_progress=progress
        )

    window = target_ctx or max(sizes)
    shown = Shown(as_json, plot, html)
    _measure(NeedleResult, run, model, methods, window, shown=shown, chat_template=chat_template)


@evaluate.command()
def ruler(
    model: ModelOrDemo = None,
    lengths: Lengths = "2048,4096",
    methods: Methods = "auto",
    tasks: Annotated[
        str | None,
        typer.Option(
            help="By commas, of niah_single, niah_multikey, niah_multivalue, niah_multiquery, vt "
            "(variable tracking), cwe and fwe (common and frequent words). Default: all."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Of each task at each length.")] = 5,
    threshold: Annotated[
        float, typer.Option(help="Percent that the effective window needs.")
    ] = 85.6,
    target_ctx: TargetCtx = None,
    chat_template: TemplateOption = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """RULER's synthetic tasks, and the effective window: how far the model really reads.

    Seven tasks times samples times lengths, a prefill each: begin small.
    Example: `longctx eval ruler model.gguf --lengths 4096,8192,16384 --tasks niah_single,vt`
    """
    from longctx.evaluate import RulerResult
    from longctx.evaluate import ruler as measure

    text = _text(file)
    sizes = _numbers("--lengths", lengths, int)
    chosen: dict[str, Any] = {} if tasks is None else {"tasks": _entries(tasks)}

    def run(llm: LongContextLLM, progress: ProgressCallback) -> RulerResult:
        return measure(
            llm, sizes, samples=samples, threshold=threshold, text=text, seed=seed,
            on_progress=progress, **chosen,
        )  # fmt: skip

    window = target_ctx or max(sizes)
    shown = Shown(as_json, plot, html)
    _measure(RulerResult, run, model, methods, window, shown=shown, chat_template=chat_template)


@evaluate.command()
def stream(
    model: ModelOrDemo = None,
    length: Length = 16_384,
    methods: Methods = "none",
    target_ctx: Annotated[int, typer.Option(help="The window that slides, in tokens.")] = 2048,
    n_keep: Annotated[int, typer.Option(help="Attention sinks: first tokens that stay.")] = 4,
    stride: Annotated[int, typer.Option(help="Tokens of each point.")] = 512,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
) -> None:
    """Perplexity along a text that slides through a window: flat is good.

    Example: `longctx eval stream --target-ctx 4096 --length 65536 --plot stream.png`
    """
    from longctx.evaluate import StreamResult
    from longctx.evaluate import stream as measure

    text = _text(file)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> StreamResult:
        return measure(llm, length, stride=stride, text=text, seed=seed, on_progress=progress)

    _measure(
        StreamResult, run, model, methods, target_ctx, shown=Shown(as_json, plot, html),
        overflow="slide", n_keep=n_keep,
    )  # fmt: skip


@evaluate.command()
def report(
    files: Annotated[list[str], typer.Argument(help="What measures printed with --json.")],
    html: Annotated[str, typer.Option(help="The page to write (extra `eval`).")] = "report.html",
) -> None:
    """One page of several measures, each measured before with --json.

    Example: `longctx eval recall --json > recall.json`, the same for `needle`, then
    `longctx eval report recall.json needle.json --html report.html`
    """
    from longctx.evaluate import load_run, write_report

    write_report(html, [load_run(file) for file in files])
    errors.print(f"written: {html}", markup=False)


def _measure(
    kind: type[Result],
    run: Callable[[LongContextLLM, ProgressCallback], Result],
    model: str | None,
    methods: str,
    target_ctx: int,
    *,
    shown: Shown,
    **opening: Any,
) -> None:
    """Run one measure by each method, and show what came of it, also of an interrupted run."""
    from longctx.llm import LongContextLLM

    if not (names := _entries(methods)):
        raise typer.BadParameter("--methods is empty; give at least one, such as ntk")
    shown.check()
    results: list[Result] = []
    try:
        for name in names:
            options = {"reserve_output": 1, **opening, **_opening(name)}
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


def _text(file: str | None) -> str | None:
    if file is None:
        return None
    from longctx.documents import load_document

    return load_document(file).text


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


Number = TypeVar("Number", int, float)


def _numbers(option: str, text: str, kind: type[Number]) -> list[Number]:
    try:
        numbers = [kind(entry) for entry in _entries(text)]
    except ValueError as error:
        raise typer.BadParameter(
            f"{option} is {text!r}; give numbers separated by commas"
        ) from error
    if not numbers:
        raise typer.BadParameter(f"{option} is empty; give at least one number")
    return numbers
