"""``longctx calibrate``: measure which method serves a model, and keep it for the planner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from longctx.cli.opening import ModelOrDemo, found_model, takes_adapters
from longctx.cli.output import errors, out, prefill_bar, print_json
from longctx.cli.seconds import seconds
from longctx.errors import RequestError

if TYPE_CHECKING:
    from longctx.planner import Choice, Profile, TrialResult


@takes_adapters
def calibrate(
    model: ModelOrDemo = None,
    windows: Annotated[
        str | None,
        typer.Option(help="In tokens, by commas. Default: 2 and 4 times the trained window."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="To choose from, by commas.")
    ] = "none,linear,ntk,yarn,longrope,self-extend",
    budget: Annotated[str, typer.Option(help="Time to spend, such as 10min, 90s, 2h.")] = "10min",
    file: Annotated[
        str | None, typer.Option(help="A text like those you will read with the model.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws facts and the stretch of text.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the profile.")] = False,
    *,
    adapting: dict[str, Any],
) -> None:
    """Measure which method and parameters serve a model best, and let `auto` use them.

    Each trial reads a window of text with facts in it and sums two figures: the perplexity of
    its last tokens, and how well the facts are recalled. At each window the best of the search
    has to beat the formula once more, on text that nothing was chosen on; else the formula stays.
    Stop it with Ctrl-C: trials are kept, and the same command goes on.
    Example: `longctx calibrate model.gguf --budget 30min`
    """
    from longctx.documents import load_document
    from longctx.evaluate import calibrate as measure
    from longctx.evaluate.calibration.search import N_STRETCHES
    from longctx.model_info import ModelInfo
    from longctx.planner import profile_path

    found = found_model(model)
    path = found.path
    at = None if windows is None else [_number("--windows", part) for part in windows.split(",")]
    with prefill_bar("trial") as progress:

        def show(row: TrialResult) -> None:
            recall = "" if row.recall_nats is None else f"recall {row.recall_nats:.2f} nats, "
            errors.print(
                f"{row.window:,} {row.method}{row.parameters}, "
                f"{'check' if row.is_check else 'stretch'} {row.stretch + 1}: "
                f"perplexity {row.perplexity:.2f}, {recall}{row.seconds:.1f} s",
                markup=False,
                soft_wrap=True,
            )

        try:
            profile = measure(
                path,
                at,
                cast(Any, tuple(part.strip() for part in methods.split(","))),
                text=load_document(file).text if file else None,
                budget_s=seconds("--budget", budget),
                seed=seed,
                adapters=[*found.adapters, *adapting.get("adapters", ())],
                on_trial=show,
                on_progress=progress,
            )
        except KeyboardInterrupt:
            errors.print("The trials so far are kept; the same command goes on with them.")
            raise
    if as_json:
        print_json(profile)
        return
    for choice in profile.choices:
        out.print(_chosen(profile, choice), soft_wrap=True)
    info = ModelInfo.from_gguf(path)
    trained = info.n_ctx_train
    wanted = {window for window in at or (2 * trained, 4 * trained) if window > trained}
    rows = [row for row in profile.results if row.window == profile.window and not row.is_check]
    n_stretches = 1 + max((row.stretch for row in rows), default=-1)
    if n_stretches < N_STRETCHES or len(profile.choices) < len(wanted):
        errors.print(
            "The time was not enough for all windows and stretches of text; the same command with "
            "a larger --budget goes on from here."
        )
    stored = profile_path(info, profile.measured_with)
    out.print(f"method='auto' uses it from now on: {stored}", soft_wrap=True)


def _chosen(profile: Profile, choice: Choice) -> str:
    found = f"{choice.window:,} tokens: [bold]{choice.method}[/bold]{choice.parameters}"
    measured = profile.measured(choice)
    text = f"{found}, {measured}" if measured else found
    if choice.check is None:
        return text
    won = "which beat the formula" if choice.check.is_won else "the formula, as nothing beat it"
    where = (
        "stretches of text that nothing was chosen on"
        if choice.check.is_other_text
        else ("other stretches of the same text")
    )
    return f"{text}; {won}: {choice.check} {where}"


def _number(name: str, text: str) -> int:
    try:
        return int(text.replace("_", ""))
    except ValueError as error:
        raise RequestError(
            f"{name} has {text!r}; give whole numbers, such as 16384,32768"
        ) from error
