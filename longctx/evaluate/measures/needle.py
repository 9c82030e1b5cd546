"""The needle in a haystack: a heat map of length and depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from longctx.evaluate.figures.plots import HeatMap, heat_maps_figure
from longctx.evaluate.measures.result import Subject
from longctx.evaluate.measures.retrieval import RetrievalResult, check_grid, run_grid, share
from longctx.evaluate.prompts.fitting import largest_fitting
from longctx.evaluate.prompts.needle import CITIES, MAX_NUMBER, MIN_NUMBER, needle_prompt
from longctx.evaluate.prompts.random_numbers import generator
from longctx.evaluate.prompts.texts import prose
from longctx.types import Message, ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.llm import LongContextLLM

ANSWER_TOKENS = 32
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


class NeedleResult(RetrievalResult):
    """Needles found, by length and depth."""

    measure: ClassVar[str] = "needle"

    @classmethod
    def figure(cls, results: Sequence[NeedleResult]) -> Figure:
        """A heat map for each measurement: lengths across, depths down."""
        return heat_maps_figure(
            title=f"Needles found, {results[0].subject.model}",
            x_label="length (tokens)",
            y_label="depth of the needle (% of the text)",
            value_label="share of trials that found it",
            maps=[
                HeatMap(
                    result.subject.label,
                    tuple(f"{100 * depth:.0f}" for depth in result.depths),
                    tuple(f"{length:,}" for length in result.lengths),
                    tuple(
                        tuple(c.accuracy for c in result.cells if c.depth == depth)
                        for depth in result.depths
                    ),
                )
                for result in results
            ],
        )


def needle(
    llm: LongContextLLM,
    lengths: Sequence[int] | None = None,
    *,
    depths: Sequence[float] = DEPTHS,
    trials: int = 3,
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> NeedleResult:
    """Measure whether a model finds one sentence in prose, asked in its chat template.

    A trial is right when the first number that the model writes is the hidden one.

    Args:
        llm: the model, in the window to measure.
        lengths: tokens, template and 32 for the answer included; None is the whole window.
        depths: where the needle stands, 0 to 1, moved back to the end of a sentence.
        trials: needles at each length and depth.
        text: the haystack; None is the Python reference.
        seed: draws cities, numbers, and where in the text the haystack begins.
        on_progress: called after each prefilled batch, with the tokens of all prompts.

    Raises:
        ContextOverflowError: a length is more than the window, or too short for the prompt.
        DocumentError: the text is shorter than a length.
        RequestError: lengths, depths or trials make no sense.
    """
    lengths, depths = check_grid(llm, lengths, depths, trials, ANSWER_TOKENS)
    random = generator(seed)
    cities = random.integers(0, len(CITIES), trials)
    numbers = random.integers(MIN_NUMBER, MAX_NUMBER + 1, trials)
    haystacks = {length: prose(llm, text, length, seed) for length in lengths}

    def prompt(length: int, depth: float, trial: int) -> tuple[tuple[Message, ...], str]:
        city, number, haystack = CITIES[cities[trial]], int(numbers[trial]), haystacks[length]
        n_characters = largest_fitting(
            lambda n: llm.count(needle_prompt(haystack[:n], depth, city, number)),
            length - ANSWER_TOKENS,
            upper=len(haystack),
        )
        return needle_prompt(haystack[:n_characters], depth, city, number), str(number)

    cells = run_grid(
        llm, lengths, depths, trials, prompt, answer_tokens=ANSWER_TOKENS, on_progress=on_progress
    )
    return NeedleResult(subject=Subject.of(llm), seed=seed, cells=cells, **share(cells))
