"""``longctx eval``: measure a window, by several methods in one run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.measuring import (
    AsJson,
    Depths,
    File,
    Html,
    Length,
    Lengths,
    Methods,
    Plot,
    Seed,
    Shown,
    TargetCtx,
    entries,
    measure_each,
    numbers,
    run_ways,
    text_of,
)
from longctx.cli.opening import ModelOrDemo, TemplateOption, takes_adapters
from longctx.cli.output import errors
from longctx.cli.seconds import seconds

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM
    from longctx.types import ProgressCallback

evaluate = typer.Typer(
    name="eval",
    help="Measure how well a model uses a window, by several methods in one run.\n\n"
    "`perplexity` says what a window costs, `recall` what it buys, with one prefill for each "
    "method; `passkey`, `needle` and `ruler` ask for answers, which takes a prefill each.\n\n"
    "Example: `longctx eval recall --length 16384 --methods none,ntk,yarn --plot recall.png`",
    no_args_is_help=True,
)


@evaluate.command()
@takes_adapters
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
    *,
    adapting: dict[str, Any],
) -> None:
    """Perplexity by position: lower is better, and where it explodes the window ends.

    Example: `longctx eval perplexity --methods none,ntk,yarn,elastic --plot perplexity.png`

    The control, which says what a window costs: `longctx eval perplexity --methods none
    --context 8192 --marks 12288,16384` predicts from the last 8,192 tokens alone.
    """
    from longctx.evaluate import PerplexityResult
    from longctx.evaluate import perplexity as measure

    text = text_of(file)
    at = None if marks is None else numbers("--marks", marks, int)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> PerplexityResult:
        return measure(
            llm, length, marks=at, stride=stride, context=context, text=text, seed=seed,
            on_progress=progress,
        )  # fmt: skip

    window = target_ctx or context or length
    shown = Shown(as_json, plot, html)
    measure_each(PerplexityResult, run, model, methods, window, shown=shown, **adapting)


@evaluate.command()
@takes_adapters
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
    *,
    adapting: dict[str, Any],
) -> None:
    """Facts in one prefill, each asked for at the end: nats a token, 2.30 is chance.

    Tells methods apart on models that are too small to write the answers.
    Example: `longctx eval recall --length 12288 --methods none,ntk,self-extend`
    """
    from longctx.evaluate import RecallResult
    from longctx.evaluate import recall as measure

    text = text_of(file)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> RecallResult:
        return measure(llm, length, n_facts=facts, text=text, seed=seed, on_progress=progress)

    shown = Shown(as_json, plot, html)
    measure_each(RecallResult, run, model, methods, target_ctx or length, shown=shown, **adapting)


@evaluate.command()
@takes_adapters
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
    *,
    adapting: dict[str, Any],
) -> None:
    """One number hidden in four sentences that repeat, as in the YaRN paper.

    The easiest retrieval there is: what fails here fails everywhere.
    Example: `longctx eval passkey --lengths 2048,16384 --methods none,ntk --trials 10`
    """
    from longctx.evaluate import PasskeyResult
    from longctx.evaluate import passkey as measure

    sizes, places = numbers("--lengths", lengths, int), numbers("--depths", depths, float)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> PasskeyResult:
        at = [place / 100 for place in places]
        return measure(llm, sizes, depths=at, trials=trials, seed=seed, on_progress=progress)

    window = target_ctx or max(sizes)
    shown = Shown(as_json, plot, html)
    measure_each(PasskeyResult, run, model, methods, window, shown=shown, **adapting)


@evaluate.command()
@takes_adapters
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
    *,
    adapting: dict[str, Any],
) -> None:
    """One sentence hidden in prose, asked in the chat template; --plot draws the heat map.

    Example: `longctx eval needle --lengths 2048,4096,8192,16384 --methods elastic
    --plot needle.png`
    """
    from longctx.evaluate import NeedleResult
    from longctx.evaluate import needle as measure

    text = text_of(file)
    sizes, places = numbers("--lengths", lengths, int), numbers("--depths", depths, float)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> NeedleResult:
        at = [place / 100 for place in places]
        return measure(
            llm, sizes, depths=at, trials=trials, text=text, seed=seed, on_progress=progress
        )

    window = target_ctx or max(sizes)
    shown = Shown(as_json, plot, html)
    measure_each(
        NeedleResult, run, model, methods, window, shown=shown, chat_template=chat_template,
        **adapting,
    )  # fmt: skip


@evaluate.command()
@takes_adapters
def ruler(
    model: ModelOrDemo = None,
    lengths: Lengths = "2048,4096",
    methods: Methods = "auto",
    tasks: Annotated[
        str | None,
        typer.Option(
            help="By commas, of niah_single_1 to _3, niah_multikey_1 to _3, niah_multivalue, "
            "niah_multiquery, vt (variable tracking), cwe and fwe (common and frequent words), "
            "qa_1 and qa_2 (questions). Default: all."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Of each task at each length.")] = 5,
    threshold: Annotated[
        float, typer.Option(help="Percent that the effective window needs.")
    ] = 85.6,
    begin_answers: Annotated[
        bool,
        typer.Option(help="Write the beginning of each answer for the model, as the paper does."),
    ] = True,
    plain_text: Annotated[
        bool, typer.Option("--plain-text", help="Ask without a chat template, as of base models.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Begin no sample after this time, such as 10min, 90s, 2h.")
    ] = None,
    target_ctx: TargetCtx = None,
    chat_template: TemplateOption = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
    *,
    adapting: dict[str, Any],
) -> None:
    """RULER's thirteen tasks, and the effective window: how far the model really reads.

    Thirteen tasks times samples times lengths, a prefill each: begin small.
    Example: `longctx eval ruler model.gguf --lengths 4096,8192,16384 --tasks niah_single,vt`
    """
    from longctx.evaluate import RulerResult
    from longctx.evaluate import ruler as measure

    text = text_of(file)
    sizes = numbers("--lengths", lengths, int)
    chosen: dict[str, Any] = {} if tasks is None else {"tasks": entries(tasks)}
    if budget is not None:
        chosen["budget_s"] = seconds("--budget", budget)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> RulerResult:
        return measure(
            llm, sizes, samples=samples, threshold=threshold, begin_answers=begin_answers,
            plain_text=plain_text, text=text, seed=seed, on_progress=progress, **chosen,
        )  # fmt: skip

    window = target_ctx or max(sizes)
    shown = Shown(as_json, plot, html)
    measure_each(
        RulerResult, run, model, methods, window, shown=shown, chat_template=chat_template,
        **adapting,
    )  # fmt: skip


@evaluate.command()
@takes_adapters
def stream(
    model: ModelOrDemo = None,
    length: Length = 16_384,
    methods: Methods = "none",
    target_ctx: Annotated[int, typer.Option(help="The window that slides, in tokens.")] = 2048,
    n_keep: Annotated[int, typer.Option(help="Attention sinks: first tokens that stay.")] = 4,
    overflow: Annotated[str, typer.Option(help="slide, or compress.")] = "slide",
    stride: Annotated[int, typer.Option(help="Tokens of each point.")] = 512,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
    *,
    adapting: dict[str, Any],
) -> None:
    """Perplexity along a text longer than its window, by far: flat is good.

    Example: `longctx eval stream --target-ctx 4096 --length 65536 --plot stream.png`
    """
    from longctx.evaluate import StreamResult
    from longctx.evaluate import stream as measure

    text = text_of(file)

    def run(llm: LongContextLLM, progress: ProgressCallback) -> StreamResult:
        return measure(llm, length, stride=stride, text=text, seed=seed, on_progress=progress)

    measure_each(
        StreamResult, run, model, methods, target_ctx, shown=Shown(as_json, plot, html),
        overflow=overflow, n_keep=n_keep, **adapting,
    )  # fmt: skip


@evaluate.command()
@takes_adapters
def compress(
    model: ModelOrDemo = None,
    length: Annotated[int, typer.Option(help="Tokens of text to measure on.")] = 6000,
    kinds: Annotated[
        str,
        typer.Option(
            help="What is asked for, by commas: sparse or dense facts; copy (prose, word by word), "
            "code."
        ),
    ] = "sparse",
    methods: Annotated[
        str,
        typer.Option(
            help="By commas: keydiff, and the baselines latest (StreamingLLM) and evenly."
        ),
    ] = "keydiff,latest",
    keep: Annotated[
        str, typer.Option(help="Percent of the cells that are left, separated by commas.")
    ] = "75,50,25",
    kv_types: Annotated[
        str, typer.Option(help="Caches of fewer bits beside, by commas: f16, q8_0, q4_0.")
    ] = "f16,q8_0",
    target_ctx: TargetCtx = None,
    file: File = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
    html: Html = None,
    *,
    adapting: dict[str, Any],
) -> None:
    """What is still known of a text when a share of its cache is left, against bytes.

    Example: `longctx eval compress --length 6000 --kinds sparse,copy --plot compress.png`
    """
    from longctx.evaluate import CompressResult
    from longctx.evaluate import compress as measure

    text, shares = text_of(file), [each / 100 for each in numbers("--keep", keep, float)]

    def run(kind: Any, llm: LongContextLLM, progress: ProgressCallback) -> CompressResult:
        return measure(
            llm, length, kind=kind, methods=entries(methods), keeps=shares, text=text, seed=seed,
            on_progress=progress,
        )  # fmt: skip

    # As everywhere: past its trained window an unscaled model would know nothing to begin with.
    opening = {"method": "auto", "window": "elastic", **adapting}
    ways = {
        f"{kv_type}, {kind}": ({**opening, "kv_type": kv_type}, partial(run, kind))
        for kv_type in entries(kv_types)
        for kind in entries(kinds)
    }
    if not ways:
        raise typer.BadParameter("--kinds and --kv-types are empty; give at least one of each")
    window = target_ctx or length + 512
    run_ways(CompressResult, ways, model, window, shown=Shown(as_json, plot, html))


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
