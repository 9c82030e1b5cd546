"""Perplexity by position: what a window costs, and where a model gives out."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from longctx.arguments import whole
from longctx.errors import RequestError
from longctx.evaluate.figures.plots import Curve, curves_figure
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.progress import feed_along
from longctx.evaluate.measures.result import EvaluationResult, Subject
from longctx.evaluate.prompts.texts import stretch, text_ids
from longctx.progress import Meter
from longctx.types import Frozen, ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.llm import LongContextLLM

Scores = list[NDArray[np.float32]]

_MARKS = 8
_TABLE_COLUMNS = 9


class PerplexityPoint(Frozen):
    """``perplexity`` of the ``n_scored`` tokens that end at token ``mark`` of the text."""

    mark: int
    n_scored: int
    perplexity: float


class PerplexityResult(EvaluationResult):
    """Perplexity by position. Lengths in tokens.

    ``context`` is None where each token was predicted from all before it, and else the size of
    the sliding window. ``perplexity`` is that of all scored tokens together.
    """

    measure: ClassVar[str] = "perplexity"

    length: int
    stride: int
    context: int | None
    points: tuple[PerplexityPoint, ...]
    perplexity: float

    @property
    def label(self) -> str:
        """The subject's, with the sliding window where there is one."""
        if self.context is None:
            return self.subject.label
        return f"{self.subject.label}, last {self.context:,} tokens"

    @classmethod
    def tabulate(cls, results: Sequence[PerplexityResult]) -> Table:
        """One row a measurement, one column a mark (nine of them, where there are more)."""
        marks = sorted({point.mark for result in results for point in result.points})
        if len(marks) > _TABLE_COLUMNS:
            marks = [marks[round(i)] for i in np.linspace(0, len(marks) - 1, _TABLE_COLUMNS)]
        rows = []
        for result in results:
            at = {point.mark: f"{point.perplexity:.2f}" for point in result.points}
            cells = (at.get(mark, "") for mark in marks)
            rows.append((result.label, *cells, f"{result.perplexity:.2f}"))
        first = results[0]
        return Table(
            f"Perplexity of the {first.stride} tokens that end at each mark, {first.subject.model}"
            f" (trained on {first.subject.n_ctx_train:,} tokens)",
            ("window", *(f"{mark:,}" for mark in marks), "all"),
            rows,
        )

    @classmethod
    def figure(cls, results: Sequence[PerplexityResult]) -> Figure:
        """Perplexity against position, logarithmic, with the trained window marked."""
        subject = results[0].subject
        furthest = max(result.length for result in results)
        return curves_figure(
            title=f"Perplexity by position, {subject.model}",
            x_label="position in the text (tokens)",
            y_label=f"perplexity of {results[0].stride} tokens (lower is better)",
            curves=[
                Curve(
                    result.label,
                    tuple(point.mark for point in result.points),
                    tuple(point.perplexity for point in result.points),
                )
                for result in results
            ],
            marks={"trained window": subject.n_ctx_train}
            if furthest >= subject.n_ctx_train
            else {},
            log_y=True,
        )


def perplexity(
    llm: LongContextLLM,
    length: int | None = None,
    *,
    marks: Sequence[int] | None = None,
    stride: int = 512,
    context: int | None = None,
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> PerplexityResult:
    """Measure perplexity along a text.

    By default the window is filled from the start in one pass (an elastic one grows along the
    way), and the ``stride`` tokens that end at each mark are scored given all before them. With
    ``context`` each stride is scored given only the tokens of a sliding window that ends with
    it, from a prefill of its own: the unscaled model with ``context=llm.info.n_ctx_train`` is
    the control that says what a long window costs.

    Args:
        llm: the model, in the window to measure.
        length: tokens of text; None fills the window.
        marks: positions in tokens, ascending; None is eighths of the length, or every stride
            with ``context``.
        stride: tokens scored at each mark, fewer where two marks are closer.
        context: size of the sliding window in tokens, the scored ones included.
        text: what to read; None is the Python reference.
        seed: draws where in the text the reading begins.
        on_progress: called after each batch.

    Raises:
        ContextOverflowError: the text, or ``context``, is more than the window.
        DocumentError: the text is shorter than ``length``.
        RequestError: marks, stride or context make no sense.
    """
    length = llm.target_ctx if length is None else whole("length", length, least=1)
    whole("stride", stride, least=1)
    if context is not None and whole("context", context, least=1) <= stride:
        raise RequestError(
            f"a sliding window of {context} tokens leaves nothing to predict a stride of {stride} "
            "from; use a larger context, or a smaller stride"
        )
    if marks is None:
        marks = _default_marks(length, stride, context)
    marks = _check_marks(marks, length)
    llm.plan.check_fit(length if context is None else context)
    ids = stretch(text_ids(llm, text), length, seed)
    if context is None:
        scores = _filled(llm, ids, marks, stride, on_progress)
    else:
        scores = _sliding(llm, ids, marks, stride, context, on_progress)
    return PerplexityResult(
        subject=Subject.of(llm),
        seed=seed,
        length=length,
        stride=stride,
        context=context,
        points=points_of(marks, scores),
        perplexity=exp(float(np.concatenate(scores).mean())),
    )


def points_of(marks: Sequence[int], scores: Scores) -> tuple[PerplexityPoint, ...]:
    """The points of the likelihoods that were measured before each mark."""
    return tuple(
        PerplexityPoint(mark=mark, n_scored=len(nll), perplexity=exp(float(nll.mean())))
        for mark, nll in zip(marks, scores, strict=True)
    )


def _filled(
    llm: LongContextLLM,
    ids: Sequence[int],
    marks: Sequence[int],
    stride: int,
    on_progress: ProgressCallback | None,
) -> Scores:
    meter = Meter(on_progress, marks[-1])
    scores: Scores = []
    with llm.session() as session:
        session.begin()
        n_bos = session.n_tokens
        for mark in marks:
            end = mark - n_bos
            begin = max(session.n_tokens - n_bos, end - stride)
            feed_along(session, ids[session.n_tokens - n_bos : begin], meter)
            scored = ids[begin:end]
            scores.append(session.nll(scored, on_progress=meter.prompt(len(scored))))
        meter.finish()
    return scores


def _sliding(
    llm: LongContextLLM,
    ids: Sequence[int],
    marks: Sequence[int],
    stride: int,
    context: int,
    on_progress: ProgressCallback | None,
) -> Scores:
    meter = Meter(on_progress, sum(min(mark, context) for mark in marks))
    scores: Scores = []
    with llm.session() as session:
        for mark in marks:
            session.truncate(0)
            session.begin()
            seen = ids[max(0, mark - context + session.n_tokens) : mark]
            n_scored = min(stride, len(seen))
            session.feed(seen[:-n_scored], on_progress=meter.prompt(len(seen) - n_scored))
            scored = seen[-n_scored:]
            scores.append(session.nll(scored, on_progress=meter.prompt(n_scored)))
        meter.finish()
    return scores


def _default_marks(length: int, stride: int, context: int | None) -> list[int]:
    if context is None:
        return [length * i // _MARKS for i in range(1, _MARKS + 1)]
    return list(range(context, length + 1, stride))


def _check_marks(marks: Sequence[int], length: int) -> list[int]:
    marks = [whole("a mark", mark, least=3) for mark in marks]
    if not marks or marks != sorted(set(marks)) or marks[-1] > length:
        raise RequestError(
            f"the marks are {marks[:8]}; use ascending positions from 3 to the length of "
            f"{length} tokens"
        )
    return marks
