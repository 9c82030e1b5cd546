"""Recall: twenty numbered facts in one prefill, each asked for at the end from the same cache."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from longctx.arguments import whole
from longctx.evaluate.figures.plots import Curve, curves_figure
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.progress import feed_along
from longctx.evaluate.measures.result import EvaluationResult, Subject
from longctx.evaluate.prompts.recall import DIGITS, Fact, build_facts, build_recall_text
from longctx.evaluate.prompts.texts import text_ids
from longctx.progress import Meter
from longctx.types import Frozen, ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.cache import Session
    from longctx.llm import LongContextLLM

_PARTS = 5


class FactScore(Frozen):
    """One fact: ``depth`` 0 is the text's beginning, 1 its end; ``nats`` a token of the answer.

    ``exact`` is whether greedy decoding writes the answer.
    """

    name: str
    depth: float
    nats: float
    exact: bool


class RecallResult(EvaluationResult):
    """Facts found again, by depth. Lengths in tokens, likelihoods in nats a token.

    ``mean_nats`` is 0 for a model that is certain of every answer and ``chance_nats`` for one
    that knows only that a number comes; ``exact`` is the share that greedy decoding gets right.
    """

    measure: ClassVar[str] = "recall"

    length: int
    facts: tuple[FactScore, ...]
    mean_nats: float
    chance_nats: float
    exact: float

    @classmethod
    def tabulate(cls, results: Sequence[RecallResult]) -> Table:
        """One row a measurement: mean, exact match, and the mean of each fifth of the text."""
        first = results[0]
        parts = [f"{100 * i // _PARTS}-{100 * (i + 1) // _PARTS} %" for i in range(_PARTS)]
        rows = [
            (
                result.subject.label,
                f"{result.length:,}",
                f"{result.exact:.0%}",
                f"{result.mean_nats:.2f}",
                *result.by_part(),
            )
            for result in results
        ]
        return Table(
            f"Recall of {len(first.facts)} facts, {first.subject.model}: nats a token by depth "
            f"(chance {first.chance_nats:.2f})",
            ("window", "tokens", "exact", "nats", *parts),
            rows,
        )

    @classmethod
    def figure(cls, results: Sequence[RecallResult]) -> Figure:
        """Nats a token against depth, one curve a measurement, chance as a line."""
        return curves_figure(
            title=f"Recall by depth, {results[0].subject.model}",
            x_label="depth of the fact (% of the text)",
            y_label="nats a token of the answer (lower is better)",
            curves=[
                Curve(
                    f"{result.subject.label}, {result.length:,} tokens ({result.exact:.0%} exact)",
                    tuple(100 * fact.depth for fact in result.facts),
                    tuple(fact.nats for fact in result.facts),
                )
                for result in results
            ],
            levels={"chance": results[0].chance_nats},
        )

    def by_part(self) -> list[str]:
        """Mean nats of each fifth of the text, as a table shows them."""
        parts: list[list[float]] = [[] for _ in range(_PARTS)]
        for fact in self.facts:
            parts[int(fact.depth * _PARTS)].append(fact.nats)
        return [f"{np.mean(part):.2f}" if part else "" for part in parts]


def recall(
    llm: LongContextLLM,
    length: int | None = None,
    *,
    n_facts: int = 20,
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> RecallResult:
    """Measure what a model still finds, by depth, with a single prefill.

    "The number of the amber falcon is 48213." stands ``n_facts`` times, each with another name
    and number, evenly spread over prose. After one prefill (an elastic window grows along the
    way) each is asked for, from the same cache, which is cut back in between. The likelihood of
    the answer tells methods apart on models that are too small to write it out.

    Args:
        llm: the model, in the window to measure.
        length: tokens in all, question and answer included; None fills the window.
        n_facts: at most 100.
        text: the prose; None is the Python reference.
        seed: draws names, numbers, and which stretch of the prose.
        on_progress: called after each prefilled batch.

    Raises:
        ContextOverflowError: ``length`` is more than the window, or too short for the facts.
        DocumentError: the prose is shorter than ``length``.
        RequestError: ``n_facts`` is out of range.
    """
    facts = build_facts(llm.tokenize, n_facts, seed=seed)
    filler = text_ids(llm, text)
    length = llm.target_ctx if length is None else whole("length", length, least=1)
    n_answer = max(len(fact.answer) for fact in facts)
    asking = max(len(fact.question) for fact in facts) + n_answer
    llm.plan.check_answer(length - n_answer, n_answer)
    with llm.session() as session:
        session.begin()
        laid_out = build_recall_text(filler, facts, length - asking - session.n_tokens, seed=seed)
        feed_along(session, laid_out.ids, Meter(on_progress, len(laid_out.ids)))
        scores = tuple(
            _ask(session, fact, begin / len(laid_out.ids))
            for fact, begin in zip(facts, laid_out.begins, strict=True)
        )
    return RecallResult(
        subject=Subject.of(llm),
        seed=seed,
        length=length,
        facts=scores,
        mean_nats=float(np.mean([score.nats for score in scores])),
        chance_nats=DIGITS * log(10) / float(np.mean([len(fact.answer) for fact in facts])),
        exact=float(np.mean([score.exact for score in scores])),
    )


def _ask(session: Session, fact: Fact, depth: float) -> FactScore:
    n = session.n_tokens
    session.feed(fact.question)
    try:
        nats = float(session.next_nll(fact.answer).mean())
        written = session.greedy(len(fact.answer))
    finally:
        session.truncate(n)
    return FactScore(name=fact.name, depth=depth, nats=nats, exact=tuple(written) == fact.answer)
