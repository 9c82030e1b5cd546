"""``longctx finetune``: teach a model its longer window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from longctx.cli.opening import ModelOrDemo
from longctx.cli.output import errors, out, print_json
from longctx.cli.seconds import seconds

if TYPE_CHECKING:
    from longctx.finetune import FinetuneProgress

_SAID_EVERY_S = 10.0
_TRAINING, _OUTPUT = "Training", "What comes out"


def finetune(
    model: ModelOrDemo = None,
    target_ctx: Annotated[int, typer.Option(help="The window to teach, in tokens.")] = 32_768,
    budget: Annotated[
        str, typer.Option(help="Time for all of it, measuring included: 90s, 30min, 2h.")
    ] = "2h",
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A document like those you will read with the model; can be repeated. "
            "Default: the docstrings of Python's standard library."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="The scaling to train for: self-extend (free on short texts), yarn or ntk."
        ),
    ] = "self-extend",
    tokens: Annotated[
        int | None,
        typer.Option(help="Train on so many, and refuse if the budget cannot.", min=1),
    ] = None,
    full_length: Annotated[
        bool,
        typer.Option(
            "--full-length",
            help="Sequences as long as the window, in place of short ones with skipped positions.",
            rich_help_panel=_TRAINING,
        ),
    ] = False,
    sequence_tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a training sequence. Default: the trained window, up to 1024, and to "
            "8192 on a GPU.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    step_tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a training step. Default: four sequences; 32768 on a GPU.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Rank of the LoRA matrices.", rich_help_panel=_TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate. Default: 0.8 over the model's width.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    recall_share: Annotated[
        float | None,
        typer.Option(
            help="Share of sequences that ask for something stated before, 0 to 1.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    short_share: Annotated[
        float | None,
        typer.Option(
            help="Share of plain short sequences, which keep short texts good, 0 to 1.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    answer_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of an answer's tokens in the loss, where prose has 1. Default: 4.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Draws sequences and weights.", rich_help_panel=_TRAINING)
    ] = 0,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda, or auto: a GPU where torch finds one.", rich_help_panel=_TRAINING
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="Of matrix products: float32, bfloat16, or auto: bfloat16 on a GPU that has it.",
            rich_help_panel=_TRAINING,
        ),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A transformers folder with the model's weights, more precise than the GGUF's.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of torch and llama.cpp.", min=1, rich_help_panel=_TRAINING),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the results. Default: MODEL.longctx here.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge", help="Write the model with the adapter in it, too.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help="Measure the model before and after.",
            rich_help_panel=_OUTPUT,
        ),
    ] = True,
    measure_only: Annotated[
        bool,
        typer.Option(
            "--measure-only",
            help="Train nothing: measure what was trained with --no-measure.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Train a model for a longer window, and measure what it brought.

    Trains a LoRA adapter (some MB) on short sequences whose positions skip, as if they were long:
    most ask for something stated before, and a quarter is plain short text, so that nothing is lost
    there. It needs the extra `finetune`, and no GPU for a model of some million parameters; on two
    cores, a million tokens take a model of 135 million a day or more. If torch and llama.cpp are on
    different machines, train with --no-measure on one, and run --measure-only on the other.

    The folder has the adapter, a card with the measurements before and after, and a profile. Stop
    it with Ctrl-C; the same command resumes.

    `longctx finetune model.gguf --target-ctx 32768 --budget 2h`, then
    `longctx chat model.gguf --adapter model.longctx/model.longctx.lora.gguf`
    """
    from longctx.documents import load_document
    from longctx.finetune import extend
    from longctx.packaged_model import demo_model

    chosen = {
        "rank": rank,
        "learning_rate": learning_rate,
        "recall_share": recall_share,
        "short_share": short_share,
        "sequence_tokens": sequence_tokens,
        "step_tokens": step_tokens,
        "answer_weight": answer_weight,
    }
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    result = extend(
        demo_model() if model is None else model,
        target_ctx,
        method=cast(Any, method),
        budget_s=seconds("--budget", budget),
        tokens=tokens,
        text="\n\n".join(load_document(file).text for file in text) if text else None,
        out=output,
        weights=weights,
        full_length=full_length,
        seed=seed,
        merge=merge,
        device=cast(Any, device),
        precision=cast(Any, precision),
        measure="only" if measure_only else measure,
        n_threads=threads,
        on_progress=_Told(),
        announce=lambda line: errors.print(line, markup=False, soft_wrap=True),
        **given,
    )
    if as_json:
        print_json(result)
        return
    out.print(str(result), markup=False, soft_wrap=True)
    out.print(f"card: {result.card}", markup=False, soft_wrap=True)


class _Told:
    """A line of progress every ten seconds, so that a log can be read as well as a terminal."""

    def __init__(self) -> None:
        self._said_at = -_SAID_EVERY_S

    def __call__(self, progress: FinetuneProgress) -> None:
        if progress.seconds - self._said_at < _SAID_EVERY_S and progress.done < 1:
            return
        self._said_at = progress.seconds
        from longctx.finetune.budget import spoken

        errors.print(
            f"{progress.done:5.1%}  step {progress.step:,}, {progress.tokens:,} tokens, "
            f"{progress.tokens_per_s:,.0f} tokens/s, loss {progress.loss:.3f}, "
            f"ETA {spoken(progress.eta_s)}",
            markup=False,
            soft_wrap=True,
        )
