"""Passkey retrieval: one number in repeated sentences, by length and depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from longctx.evaluate.figures.plots import HeatMap, heat_maps_figure
from longctx.evaluate.measures.result import Subject
from longctx.evaluate.measures.retrieval import RetrievalResult, check_grid, run_grid, share
from longctx.evaluate.prompts.fitting import largest_fitting
from longctx.evaluate.prompts.passkey import MAX_KEY, passkey_prompt
from longctx.evaluate.prompts.random_numbers import generator
from longctx.types import ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.llm import LongContextLLM

ANSWER_TOKENS = 16
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_BOS = 1  # generate() may put it before the text, and count() does not count it


class PasskeyResult(RetrievalResult):
    """Pass keys found, by length and depth."""

    measure: ClassVar[str] = "passkey"

    @classmethod
    def figure(cls, results: Sequence[PasskeyResult]) -> Figure:
        """One heat map: a row for each measurement and length, depths across."""
        return heat_maps_figure(
            title=f"Pass keys found by depth, {results[0].subject.model}",
            x_label="depth of the key (% of the text)",
            y_label="",
            value_label="share of trials that found it",
            maps=[
                HeatMap(
                    "",
                    [f"{r.subject.label}, {n:,} tokens" for r in results for n in r.lengths],
                    [f"{100 * depth:g}" for depth in results[0].depths],
                    [[cell.accuracy for cell in r.at(n)] for r in results for n in r.lengths],
                )
            ],
        )


def passkey(
    llm: LongContextLLM,
    lengths: Sequence[int] | None = None,
    *,
    depths: Sequence[float] = DEPTHS,
    trials: int = 5,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> PasskeyResult:
    """Measure whether a model finds one number in a long text of four repeated sentences.

    The prompt is that of Landmark Attention and YaRN, continued as plain text without a chat
    template. A trial is right when the first number that the model writes is the key.

    Args:
        llm: the model, in the window to measure.
        lengths: tokens, 16 for the answer included; None is the whole window.
        depths: where the key stands, 0 to 1.
        trials: keys at each length and depth.
        seed: draws the keys.
        on_progress: called after each prefilled batch, with the tokens of all prompts.

    Raises:
        ContextOverflowError: a length is more than the window, or too short for the prompt.
        RequestError: lengths, depths or trials make no sense.
    """
    lengths, depths = check_grid(llm, lengths, depths, trials, ANSWER_TOKENS)
    keys = generator(seed).integers(1, MAX_KEY + 1, trials)

    def prompt(length: int, depth: float, trial: int) -> tuple[str, str]:
        key = int(keys[trial])
        n_garbage = largest_fitting(
            lambda n: llm.count(passkey_prompt(n, depth, key)) + _BOS,
            length - ANSWER_TOKENS,
            upper=8 * length,
        )
        return passkey_prompt(n_garbage, depth, key), str(key)

    cells = run_grid(
        llm, lengths, depths, trials, prompt, answer_tokens=ANSWER_TOKENS, on_progress=on_progress
    )
    return PasskeyResult(subject=Subject.of(llm), seed=seed, cells=cells, **share(cells))
