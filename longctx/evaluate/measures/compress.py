"""What compressing the cache costs and what it spares, beside caches of fewer bits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from longctx.arguments import one_of, real, whole
from longctx.cache import COMPRESSION_METHODS
from longctx.errors import RequestError
from longctx.evaluate.figures.plots import Curve, curves_figure
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.progress import feed_along
from longctx.evaluate.measures.result import EvaluationResult, Subject
from longctx.evaluate.prompts.copying import Question, build_copying, python_sources
from longctx.evaluate.prompts.recall import MAX_FACTS, build_facts, build_recall_text
from longctx.evaluate.prompts.texts import stretch, text_ids
from longctx.planner import kv_cache_bytes
from longctx.progress import Meter
from longctx.types import Frozen, ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from longctx.cache import Session
    from longctx.llm import LongContextLLM

TextKind: TypeAlias = Literal["sparse", "dense", "copy", "code"]
"""Facts 300 tokens apart, 150 apart; passages of prose to copy word by word, and of code."""

_SCORED = 192
_APART = {"sparse": 300, "dense": 150, "copy": 600, "code": 600}


class CompressScore(Frozen):
    """One way to hold a text, and what the model still knows of it.

    ``cells`` of ``n_bytes`` keys and values in all are left of ``keep`` times the text;
    ``perplexity`` is that of the next tokens, ``nats`` those a token of the answers, of which
    greedy decoding writes the share ``exact``.
    """

    method: str
    keep: float
    cells: int
    n_bytes: int
    perplexity: float
    nats: float
    exact: float
    seconds: float


class CompressResult(EvaluationResult):
    """One text in one cache, whole and compressed. Lengths in tokens, likelihoods in nats a token.

    ``prefill_s`` is what the text took before any compression, ``n_questions`` how many answers
    each score is the mean of.
    """

    measure: ClassVar[str] = "compress"

    length: int
    kind: TextKind
    n_questions: int
    prefill_s: float
    scores: tuple[CompressScore, ...]

    @classmethod
    def tabulate(cls, results: Sequence[CompressResult]) -> Table:
        """One row a text, a cache's type, a method and a share, with the difference to its own
        whole text."""
        rows = []
        for result in results:
            whole_text = result.scores[0]
            rows += [
                (
                    result.kind,
                    result.subject.kv_type_k,
                    score.method,
                    f"{score.keep:.0%}",
                    f"{score.n_bytes / 2**20:.1f}",
                    f"{score.perplexity:.2f}",
                    f"{score.perplexity / whole_text.perplexity - 1:+.1%}",
                    f"{score.nats:.3f}",
                    f"{score.nats - whole_text.nats:+.3f}",
                    f"{score.exact:.0%}",
                    f"{score.seconds / result.prefill_s:.1%}" if score.keep < 1 else "",
                )
                for score in result.scores
            ]
        first = results[0]
        return Table(
            f"Compressed caches, {first.subject.model}, {first.length:,} tokens: perplexity of the "
            f"next {_SCORED}, nats a token of {first.n_questions} answers",
            (
                "text",
                "cache",
                "method",
                "kept",
                "MiB",
                "perplexity",
                "to whole",
                "nats",
                "to whole",
                "exact",
                "of prefill",
            ),
            rows,
        )

    @classmethod
    def figure(cls, results: Sequence[CompressResult]) -> Figure:
        """Nats a token against bytes, one curve a text, a cache's type and a method."""
        curves = []
        for result in results:
            full, *scores = result.scores
            for method in dict.fromkeys(score.method for score in scores):
                points = [full, *(score for score in scores if score.method == method)]
                curves.append(
                    Curve(
                        f"{result.kind}, {result.subject.kv_type_k}, {method}",
                        tuple(point.n_bytes / 2**20 for point in points),
                        tuple(point.nats for point in points),
                    )
                )
        return curves_figure(
            title=f"What a cache of fewer bytes still knows, {results[0].subject.model}",
            x_label="keys and values (MiB)",
            y_label="nats a token of the answer (lower is better)",
            curves=curves,
        )


def compress(
    llm: LongContextLLM,
    length: int | None = None,
    *,
    kind: TextKind = "sparse",
    methods: Sequence[str] = ("keydiff", "latest"),
    keeps: Sequence[float] = (0.75, 0.5, 0.25),
    text: str | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> CompressResult:
    """Measure what a model still knows of a text when a share of its cache is left.

    One prefill; then each share by each method in a fork of it: the next tokens are scored, and
    what the text says is asked for. ``latest`` is StreamingLLM's window, ``evenly`` what no score
    at all keeps. Open the model with another ``kv_type`` for the same in fewer bits.

    Args:
        llm: the model, in the window to measure.
        length: tokens of the text; None is what the window holds beside a question.
        kind: what is asked for: facts far apart or close together, or copying of prose or code.
        methods: of :meth:`longctx.cache.Session.compress`.
        keeps: shares of the cells that are left.
        text: what to read; None is the Python reference, and sources of the library for code.
        seed: draws stretch, names, numbers and passages.
        on_progress: called after each prefilled batch.

    Raises:
        ContextOverflowError: the text does not fit the window.
        RequestError: kind, method or share is unknown or out of range, or the text too short.
        UnsupportedModelError: the model's cache cannot be compressed.
    """
    one_of("kind", kind, get_args(TextKind))
    methods = [one_of("a method", method, COMPRESSION_METHODS) for method in methods]
    keeps = [real("a share", keep, above=0, most=1) for keep in keeps]
    length = llm.target_ctx - 2 * _SCORED if length is None else whole("length", length, least=1)
    if length < 2 * _APART[kind]:
        raise RequestError(f"{length} tokens are too few for {kind}; use {2 * _APART[kind]}")
    llm.plan.check_fit(length + _SCORED)
    ids, following, questions = _material(llm, length, kind, text, seed)
    with llm.session() as session:
        session.begin()
        meter = Meter(on_progress, len(ids))
        started = time.monotonic()
        feed_along(session, ids, meter)
        prefill_s = time.monotonic() - started
        ways = [("whole", 1.0), *((method, keep) for method in methods for keep in keeps)]
        scores = [_scored(llm, session, way, following, questions) for way in ways]
        meter.finish()
    return CompressResult(
        subject=Subject.of(llm),
        seed=seed,
        length=length,
        kind=kind,
        n_questions=len(questions),
        prefill_s=prefill_s,
        scores=tuple(scores),
    )


def _material(
    llm: LongContextLLM, length: int, kind: TextKind, text: str | None, seed: int
) -> tuple[Sequence[int], Sequence[int], Sequence[Question]]:
    """The text, what follows it, and what is asked about it."""
    filler = text_ids(llm, python_sources() if kind == "code" and text is None else text)
    if kind in ("copy", "code"):
        ids, n_questions = stretch(filler, length + _SCORED, seed), length // _APART[kind]
        return ids[:length], ids[length:], build_copying(ids[:length], n_questions, seed=seed)
    # Those that fall among the tokens behind the text are not asked for.
    n_facts = min(round((length + _SCORED) / _APART[kind]), MAX_FACTS)
    facts = build_facts(llm.tokenize, n_facts, seed=seed)
    laid_out = build_recall_text(filler, facts, length + _SCORED, seed=seed)
    told = [
        Question(fact.question, fact.answer, begin / length)
        for fact, begin in zip(laid_out.facts, laid_out.begins, strict=True)
        if begin + len(fact.statement) <= length
    ]
    return laid_out.ids[:length], laid_out.ids[length:], told


def _scored(
    llm: LongContextLLM,
    session: Session,
    way: tuple[str, float],
    following: Sequence[int],
    questions: Sequence[Question],
) -> CompressScore:
    method, keep = way
    with session.fork() as twin:
        started = time.monotonic()
        if keep < 1:
            twin.compress(keep, method=method)
        seconds = time.monotonic() - started
        perplexity = exp(float(twin.next_nll(following).mean()))
        asked = [_ask(twin, question) for question in questions]
        cells = twin.n_tokens
    return CompressScore(
        method=method,
        keep=keep,
        cells=cells,
        n_bytes=kv_cache_bytes(llm.info, cells, llm.plan.kv_type_k),
        perplexity=perplexity,
        nats=float(np.mean([nats for nats, _ in asked])),
        exact=float(np.mean([exact for _, exact in asked])),
        seconds=seconds,
    )


def _ask(session: Session, question: Question) -> tuple[float, bool]:
    """Nats a token of the answer, and whether greedy decoding writes it."""
    n = session.n_tokens
    session.feed(question.question)
    try:
        nats = float(session.next_nll(question.answer).mean())
        return nats, tuple(session.greedy(len(question.answer))) == question.answer
    finally:
        session.truncate(n)
