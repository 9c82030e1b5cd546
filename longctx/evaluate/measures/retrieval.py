"""A grid of retrieval trials: the same question at every length and depth, and its score."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from longctx.arguments import real, whole
from longctx.errors import RequestError
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.confidence import wilson_interval
from longctx.evaluate.measures.result import EvaluationResult
from longctx.progress import Meter
from longctx.types import Completion, Frozen, Messages, ProgressCallback

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM

Prompt = str | Messages


class Trial(Frozen):
    """One prompt: its exact tokens, what was hidden in it, and what the model wrote."""

    prompt_tokens: int
    expected: str
    answer: str
    correct: bool


class RetrievalCell(Frozen):
    """The trials at one length (tokens, answer included) and depth (0 is the text's beginning).

    ``low`` and ``high`` bound ``accuracy`` with 95 % confidence (Wilson).
    """

    length: int
    depth: float
    trials: tuple[Trial, ...]
    accuracy: float
    low: float
    high: float


class RetrievalResult(EvaluationResult):
    """Base of passkey and needle: cells by length and depth, and the accuracy over all."""

    cells: tuple[RetrievalCell, ...]
    accuracy: float
    low: float
    high: float

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths measured, in tokens."""
        return tuple(dict.fromkeys(cell.length for cell in self.cells))

    @property
    def depths(self) -> tuple[float, ...]:
        """The depths measured, 0 to 1."""
        return tuple(dict.fromkeys(cell.depth for cell in self.cells))

    def at(self, length: int) -> tuple[RetrievalCell, ...]:
        """The cells of one length, in the order of their depths."""
        return tuple(cell for cell in self.cells if cell.length == length)

    @classmethod
    def tabulate(cls, results: Sequence[RetrievalResult]) -> Table:
        """One row a measurement and length, one column a depth."""
        first = results[0]
        n_trials = len(first.cells[0].trials)
        rows = []
        for result in results:
            for length in result.lengths:
                cells = result.at(length)
                whole = share(cells)
                rows.append(
                    (
                        result.subject.label,
                        f"{length:,}",
                        *(f"{cell.accuracy:.0%}" for cell in cells),
                        f"{whole['accuracy']:.0%}",
                        f"{whole['low']:.0%}-{whole['high']:.0%}",
                    )
                )
        return Table(
            f"{cls.what()}, {first.subject.model}: found by depth, trials of each: {n_trials}",
            ("window", "tokens", *(f"{d:.0%}" for d in first.depths), "all", "95 % interval"),
            rows,
        )

    @classmethod
    def what(cls) -> str:
        """The measure's name, for titles."""
        return cls.__name__.removesuffix("Result")


def check_grid(
    llm: LongContextLLM,
    lengths: Sequence[int] | None,
    depths: Sequence[float],
    trials: int,
    answer_tokens: int,
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Check a grid before any work; return its lengths (None is the whole window) and depths.

    Raises:
        ContextOverflowError: a length is more than the window.
        RequestError: there is nothing to measure, or a depth is not between 0 and 1.
    """
    whole("trials", trials, least=1)
    lengths = check_lengths(llm, lengths, answer_tokens)
    if not depths:
        raise RequestError("there are no depths to measure at; 0, 0.5 and 1 would do")
    for depth in depths:
        real("a depth", depth, least=0, most=1)  # the text's beginning is 0, and its end 1
    return lengths, tuple(dict.fromkeys(depths))


def check_lengths(
    llm: LongContextLLM, lengths: Sequence[int] | None, answer_tokens: int
) -> tuple[int, ...]:
    """Check lengths before any work, and return them (None is the whole window).

    Raises:
        ContextOverflowError: one is more than the window.
        RequestError: there is none, or one has no room for a prompt.
    """
    lengths = (llm.target_ctx,) if lengths is None else tuple(dict.fromkeys(lengths))
    if not lengths:
        raise RequestError("there are no lengths to measure; pass some, in tokens")
    for length in lengths:
        whole("a length", length, least=answer_tokens + 1)
        llm.plan.check_answer(length - answer_tokens, answer_tokens)
    return lengths


def run_grid(
    llm: LongContextLLM,
    lengths: Sequence[int],
    depths: Sequence[float],
    trials: int,
    prompt: Callable[[int, float, int], tuple[Prompt, str]],
    *,
    answer_tokens: int,
    on_progress: ProgressCallback | None,
) -> tuple[RetrievalCell, ...]:
    """Ask everything; deepest first, so that each prompt finds the last one's beginning cached.

    Args:
        llm: the model.
        lengths: tokens, answer included.
        depths: 0 to 1.
        trials: at each length and depth.
        prompt: (length, depth, trial) to the prompt and the number hidden in it.
        answer_tokens: room for the answer.
        on_progress: tokens over all prompts.
    """
    for length in lengths:  # one that is too short is refused before the first prefill
        prompt(length, depths[0], 0)
    meter = Meter(on_progress, sum(lengths) * len(depths) * trials)
    found: dict[tuple[int, float], RetrievalCell] = {}
    for length in lengths:
        for depth in sorted(depths, reverse=True):
            done = []
            for trial in range(trials):
                asked, expected = prompt(length, depth, trial)
                answer = _ask(llm, asked, answer_tokens, meter.prompt(length))
                done.append(
                    Trial(
                        prompt_tokens=answer.usage.prompt_tokens,
                        expected=expected,
                        answer=answer.text,
                        correct=first_number(answer.text) == expected,
                    )
                )
            found[length, depth] = RetrievalCell(
                length=length, depth=depth, trials=tuple(done), **_share(done)
            )
    meter.finish()
    return tuple(found[length, depth] for length in lengths for depth in depths)


def share(cells: Sequence[RetrievalCell]) -> dict[str, float]:
    """``accuracy`` over some cells, and its bounds ``low`` and ``high``."""
    return _share([trial for cell in cells for trial in cell.trials])


def _ask(
    llm: LongContextLLM, prompt: Prompt, max_tokens: int, on_progress: ProgressCallback
) -> Completion:
    """Answer greedily: plain text is continued to the first full stop, messages are answered."""
    if isinstance(prompt, str):
        return llm.generate(prompt, max_tokens=max_tokens, stop=".", on_progress=on_progress)
    return llm.chat(prompt, max_tokens=max_tokens, on_progress=on_progress)


def first_number(answer: str) -> str:
    """The first number in an answer, without separators of thousands; empty if there is none."""
    match = re.search(r"\d[\d,]*", answer)
    return match.group().replace(",", "") if match else ""


def _share(trials: Sequence[Trial]) -> dict[str, float]:
    hits = sum(trial.correct for trial in trials)
    low, high = wilson_interval(hits, len(trials))
    return {"accuracy": hits / len(trials), "low": low, "high": high}
