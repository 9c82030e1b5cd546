"""RULER: synthetic tasks by length, and the effective window (Hsieh et al. 2024)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from longctx.arguments import whole
from longctx.errors import DocumentError, RequestError
from longctx.evaluate.figures.plots import HeatMap, heat_maps_figure
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.confidence import wilson_interval
from longctx.evaluate.measures.result import EvaluationResult, Subject
from longctx.evaluate.measures.retrieval import check_lengths
from longctx.evaluate.prompts.fitting import largest_fitting
from longctx.evaluate.prompts.ruler import OTHER_NAMES, TASKS, Material, RulerTask, Sample
from longctx.evaluate.prompts.texts import prose, python_reference, text_ids
from longctx.progress import Meter
from longctx.types import Frozen, Message, ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.llm import LongContextLLM

THRESHOLD = 85.6
"""Llama-2-7B's score at 4k tokens, which the paper takes as passing (section 4)."""


class RulerSample(Frozen):
    """One prompt: its exact tokens, what a right answer contains, the answer, its score (0-1)."""

    prompt_tokens: int
    references: tuple[str, ...]
    answer: str
    score: float


class RulerScore(Frozen):
    """One task at one length (tokens, answer included); ``score`` in percent.

    ``low`` and ``high`` bound it with 95 % confidence (Wilson); of results that were saved before
    there were bounds nothing is known.
    """

    task: str
    length: int
    score: float
    low: float = 0.0
    high: float = 100.0
    samples: tuple[RulerSample, ...]


class RulerResult(EvaluationResult):
    """Scores by task and length, in percent, and what follows from them.

    ``effective_window`` is the longest length at which the mean over tasks reaches
    ``threshold``, as it does at every shorter one measured; None if it nowhere does.
    """

    measure: ClassVar[str] = "ruler"

    scores: tuple[RulerScore, ...]
    threshold: float
    effective_window: int | None

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths measured, in tokens."""
        return tuple(dict.fromkeys(score.length for score in self.scores))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks measured."""
        return tuple(dict.fromkeys(score.task for score in self.scores))

    def mean(self, length: int) -> float:
        """The mean over tasks at one length, in percent."""
        return float(np.mean([score.score for score in self.scores if score.length == length]))

    def interval(self, length: int) -> tuple[float, float]:
        """Bounds of the mean at one length, in percent, with 95 % confidence (Wilson).

        Of these tasks, that is: other samples of them, and not other tasks.
        """
        here = [score for score in self.scores if score.length == length]
        low, high = wilson_interval(
            sum(sample.score for score in here for sample in score.samples),
            sum(len(score.samples) for score in here),
        )
        return 100 * low, 100 * high

    @classmethod
    def tabulate(cls, results: Sequence[RulerResult]) -> Table:
        """One row a measurement, length and task, and one of their mean; the effective windows."""
        first = results[0]
        rows = []
        for result in results:
            for length in result.lengths:
                where = (result.subject.label, f"{length:,}")
                here = [score for score in result.scores if score.length == length]
                rows += [
                    (*where, score.task, *_percent(score.score, score.low, score.high))
                    for score in here
                ]
                rows.append(
                    (*where, "mean", *_percent(result.mean(length), *result.interval(length)))
                )
        # Where time was up, some lengths have fewer than others.
        counts = sorted({len(score.samples) for result in results for score in result.scores})
        n_samples = " to ".join(f"{n}" for n in dict.fromkeys((counts[0], counts[-1])))
        return Table(
            f"RULER, {first.subject.model}: percent of the references, "
            f"samples of each: {n_samples}",
            ("window", "tokens", "task", "score", "95 % interval"),
            rows,
            notes=[result.verdict for result in results],
        )

    @classmethod
    def figure(cls, results: Sequence[RulerResult]) -> Figure:
        """A heat map for each measurement: tasks and their mean down, lengths across."""
        return heat_maps_figure(
            title=f"RULER, {results[0].subject.model}",
            x_label="length (tokens)",
            y_label="task",
            value_label="share of the references in the answer",
            maps=[
                HeatMap(
                    result.verdict.replace(": ", "\n", 1),
                    (*result.tasks, "mean"),
                    tuple(f"{length:,}" for length in result.lengths),
                    (
                        *(
                            tuple(s.score / 100 for s in result.scores if s.task == task)
                            for task in result.tasks
                        ),
                        tuple(result.mean(length) / 100 for length in result.lengths),
                    ),
                )
                for result in results
            ],
        )

    @property
    def verdict(self) -> str:
        """The effective window in words."""
        found = "none" if self.effective_window is None else f"{self.effective_window:,} tokens"
        return f"{self.subject.label}: effective window at {self.threshold:g} %: {found}"


def ruler(
    llm: LongContextLLM,
    lengths: Sequence[int] | None = None,
    *,
    tasks: Sequence[str] = tuple(TASKS),
    samples: int = 5,
    threshold: float = THRESHOLD,
    begin_answers: bool = True,
    plain_text: bool = False,
    budget_s: float | None = None,
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> RulerResult:
    """Measure with RULER's synthetic tasks how much of a window a model really uses.

    Args:
        llm: the model, in the window to measure.
        lengths: tokens, template and answer included, as the paper counts; None is the whole
            window. A prompt is as long as its task's units allow (a line of noise in ``vt``).
        tasks: of ``niah_single_1`` to ``_3``, ``niah_multikey_1`` to ``_3``, ``niah_multivalue``,
            ``niah_multiquery``, ``vt``, ``cwe``, ``fwe``, ``qa_1``, ``qa_2``.
        samples: of each task at each length; the paper takes 500.
        threshold: percent that the effective window needs.
        begin_answers: put the beginning of the answer into the model's mouth, as the paper does.
        plain_text: ask without the chat template, for models that were trained on no chats.
        budget_s: begin no further sample of all tasks behind this time; each gets one at least.
        text: prose of the haystacks and words of ``cwe``; None is the Python reference.
        seed: draws every sample.
        on_progress: called after each prefilled batch, with the tokens of all prompts.

    Raises:
        ContextOverflowError: a length is more than the window, or too short for a task.
        DocumentError: the text has too few tokens, or too few words for ``cwe``.
        RequestError: a task is unknown, or there is nothing to measure.
        TemplateError: the chat template lets no answer be begun; pass ``begin_answers=False``.
    """
    chosen = _choose(tasks)
    whole("samples", samples, least=1)
    lengths = check_lengths(llm, lengths, max(task.answer_tokens for task in chosen))
    words = _words(python_reference() if text is None else text)
    materials = [Material(length, _haystack(llm, text, length, seed), words) for length in lengths]
    asking = _Asking(llm, begin_answers, plain_text)
    for material in materials:  # one that is too short is refused before the first prefill
        for task in chosen:
            asking.build(task, material, f"{seed}")
    meter = Meter(on_progress, sum(lengths) * len(chosen) * samples)
    started = time.monotonic()
    scores: list[RulerScore] = []
    for n_done, material in enumerate(materials):
        length = material.length
        done: dict[str, list[RulerSample]] = {task.name: [] for task in chosen}
        # A sample of each task after the other, so that all have as many when time is up.
        for i in range(samples):
            for task in chosen:
                asked = asking.build(task, material, f"{seed} {task.name} {length} {i}")
                done[task.name].append(asking.answer(task, asked, meter.prompt(length)))
            share = (n_done + 1) / len(materials)
            if budget_s is not None and time.monotonic() - started > share * budget_s:
                break
        scores += [_score(name, length, answered) for name, answered in done.items()]
    meter.finish()
    return RulerResult(
        subject=Subject.of(llm),
        seed=seed,
        scores=tuple(scores),
        threshold=threshold,
        effective_window=effective_window(scores, threshold),
    )


def _score(task: str, length: int, samples: Sequence[RulerSample]) -> RulerScore:
    hits = sum(sample.score for sample in samples)
    low, high = wilson_interval(hits, len(samples))
    return RulerScore(
        task=task,
        length=length,
        score=100 * hits / len(samples),
        low=100 * low,
        high=100 * high,
        samples=tuple(samples),
    )


def effective_window(scores: Sequence[RulerScore], threshold: float) -> int | None:
    """The longest length whose mean reaches the threshold, as all shorter ones do; or None."""
    longest = None
    for length in sorted({score.length for score in scores}):
        if np.mean([score.score for score in scores if score.length == length]) < threshold:
            break
        longest = length
    return longest


def _percent(score: float, low: float, high: float) -> tuple[str, str]:
    return f"{score:.1f}", f"{low:.0f}-{high:.0f}"


def _choose(tasks: Sequence[str]) -> list[RulerTask]:
    names = [OTHER_NAMES.get(name, name) for name in tasks]
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise RequestError(f"RULER task {unknown[0]!r} is unknown; use {', '.join(TASKS)}")
    if not names:
        raise RequestError(f"there are no RULER tasks to run; use {', '.join(TASKS)}")
    return [TASKS[name] for name in dict.fromkeys(names)]


def _haystack(llm: LongContextLLM, text: str | None, n_tokens: int, seed: int) -> str:
    """Prose of more than so many tokens, also once its sentences are joined by single spaces.

    Raises:
        DocumentError: the text is shorter.
    """
    n_text = len(text_ids(llm, text))
    taken = prose(llm, text, max(n_tokens, min(2 * n_tokens, n_text)), seed)
    return taken if n_text >= 2 * n_tokens else f"{taken}\n\n{taken}"  # the paper's repeats, too


def _words(text: str) -> tuple[str, ...]:
    """The distinct words of a text, of four small letters and more, in alphabetical order."""
    return tuple(sorted(set(re.findall(r"(?<!\w)[a-z]{4,}(?!\w)", text))))


@dataclass(frozen=True)
class _Asking:
    """How samples become prompts: of chats or plain text, with the beginning of their answers."""

    llm: LongContextLLM
    begins: bool
    is_plain: bool
    sizes: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of the last sample of a task and length: the next one's is about the same."""

    def build(self, task: RulerTask, material: Material, seed: str) -> Sample:
        """The longest sample that leaves room for its answer."""

        def sample(size: int) -> Sample:
            return task.build(material, size, Random(seed))

        upper = task.upper(material)
        size = upper
        if upper > 0:
            limit = material.length - task.answer_tokens
            count = partial(self._count, sample)
            place = (task.name, material.length)
            first = self.sizes.get(place, 64)
            what = f"the prompt of {task.name}"
            size = self.sizes[place] = largest_fitting(count, limit, upper, what, first=first)
        if size == upper:
            raise DocumentError(
                f"the text has {len(material.words):,} distinct words, too few for {task.name} at "
                f"{material.length:,} tokens; pass a longer text, or leave {task.name} out"
            )
        return sample(size)

    def answer(self, task: RulerTask, sample: Sample, on_progress: ProgressCallback) -> RulerSample:
        """Ask a sample and score what comes."""
        if self.is_plain:
            done = self.llm.generate(
                self._text(sample), max_tokens=task.answer_tokens, on_progress=on_progress
            )
        else:
            done = self.llm.chat(
                self._messages(sample), max_tokens=task.answer_tokens, on_progress=on_progress
            )
        return RulerSample(
            prompt_tokens=done.usage.prompt_tokens,
            references=sample.references,
            answer=done.text,
            score=task.score(done.text, sample.references),
        )

    def _count(self, sample: Callable[[int], Sample], size: int) -> int:
        if self.is_plain:
            return len(self.llm.prompt_ids(self._text(sample(size))))
        return self.llm.count(self._messages(sample(size)))

    def _text(self, sample: Sample) -> str:
        return f"{sample.prompt} {sample.beginning}" if self.begins else sample.prompt

    def _messages(self, sample: Sample) -> list[Message]:
        asked = [Message(role="user", content=sample.prompt)]
        if self.begins:
            asked.append(Message(role="assistant", content=sample.beginning))
        return asked
