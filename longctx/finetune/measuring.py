"""A model before and after: what it recalls and predicts, on what it was not trained on."""

from __future__ import annotations

import time
from statistics import geometric_mean

import numpy as np

from longctx.evaluate import RecallResult, perplexity, python_reference, recall
from longctx.finetune.report import Measured
from longctx.llm import LongContextLLM
from longctx.planner import ContextPlan, TrialResult, plan_context

N_FACTS = 20
_PARTS = 5
_STRIDE = 512
_MARGIN = 32  # tokens of the trained window that stay free
_SHORT_TEXTS = 4


def measure(
    plan: ContextPlan, *, text: str | None = None, seed: int = 0, n_threads: int | None = None
) -> Measured:
    """Measure a model in the window of a plan, and on a text within its trained window.

    Without an adapter the short text is read by the model as it was trained, whatever the plan
    scales: that is what must not be lost.

    Args:
        plan: with the adapter or without.
        text: that was not trained on; None is the Python reference.
        seed: draws facts and stretches of text.
        n_threads: of llama.cpp.

    Raises:
        DocumentError: the text is shorter than the window.
    """
    started = time.monotonic()
    path, text = plan.info.path, python_reference() if text is None else text
    n_train, n_ctx = plan.n_ctx_train, plan.n_ctx
    with LongContextLLM(path, plan=plan, n_threads=n_threads) as llm:
        facts = recall(llm, n_ctx, n_facts=_n_facts(n_ctx), text=text, seed=seed)
        stride = min(_STRIDE, n_ctx // 8)
        read = perplexity(llm, n_ctx, stride=stride, text=text, seed=seed)
    as_is = plan if plan.adapters else plan_context(plan.info, n_train, reserve_output=0)
    length = n_train - _MARGIN
    with LongContextLLM(path, plan=as_is, n_threads=n_threads) as llm:
        short = [
            perplexity(llm, length, marks=[length], stride=length // 2, text=text, seed=seed + i)
            for i in range(_SHORT_TEXTS)
        ]
    return Measured(
        length=n_ctx,
        recall_nats=facts.mean_nats,
        recall_exact=facts.exact,
        recall_by_depth=_by_depth(facts),
        perplexity_by_position={point.mark: point.perplexity for point in read.points},
        perplexity=read.perplexity,
        short_length=length,
        short_perplexity=geometric_mean(each.perplexity for each in short),
        seconds=time.monotonic() - started,
    )


def as_trial(plan: ContextPlan, measured: Measured) -> TrialResult:
    """A measurement as a row of a profile."""
    return TrialResult(
        window=measured.length,
        method=plan.method,
        parameters=plan.parameters.model_copy(update={"self_extend": plan.self_extend}),
        perplexity=measured.perplexity,
        recall_nats=measured.recall_nats,
        seconds=measured.seconds,
    )


def _n_facts(n_ctx: int) -> int:
    """Twenty, or as many as leave most of a small window to prose."""
    return max(1, min(N_FACTS, n_ctx // 96))


def _by_depth(facts: RecallResult) -> tuple[float | None, ...]:
    parts: list[list[float]] = [[] for _ in range(_PARTS)]
    for fact in facts.facts:
        parts[int(fact.depth * _PARTS)].append(fact.nats)
    return tuple(float(np.mean(part)) if part else None for part in parts)
