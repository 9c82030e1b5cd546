"""One trial of a calibration: one prefill that gives perplexity at its end and recall over it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import exp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx.evaluate.calibration.search import N_STRETCHES, Proposal
from longctx.evaluate.measures.progress import feed_along
from longctx.evaluate.prompts.recall import RecallText, build_facts, build_recall_text
from longctx.llm import LongContextLLM
from longctx.model_info import Adapter
from longctx.planner import TrialResult, plan_context
from longctx.progress import Meter
from longctx.types import ProgressCallback

N_FACTS = 16
SCORED = 1024
_SEEDS_APART = 1000
TRIAL_VERSION = 3
"""Trials of other versions do not compare with these."""


def run_trial(
    path: Path,
    adapters: Sequence[Adapter],
    window: int,
    proposal: Proposal,
    prose: Sequence[int],
    *,
    seed: int,
    n_threads: int | None,
    on_progress: ProgressCallback | None,
) -> TrialResult:
    """Prefill a window of prose with facts in it; score its last tokens, ask for the facts.

    Args:
        path: the model.
        adapters: that are on.
        window: in tokens.
        proposal: method and parameters, and on which stretch of the prose.
        prose: token ids, at least ``window`` of them.
        seed: draws facts and the stretch of prose.
        n_threads: as :class:`longctx.LongContextLLM` takes it.
        on_progress: called after each prefilled batch.

    Raises:
        DocumentError: the prose is shorter than the window.
    """
    started = time.monotonic()
    candidate = proposal.candidate
    plan = plan_context(
        path,
        window,
        method=candidate.method,
        parameters=candidate.parameters,
        adapters=[(adapter.path, adapter.scale) for adapter in adapters],
        reserve_output=0,
    )
    with LongContextLLM(path, plan=plan, n_threads=n_threads) as llm, llm.session() as session:
        drawn = proposal.stretch + (N_STRETCHES if proposal.is_check else 0)
        laid_out = _lay_out(llm, prose, window, seed + _SEEDS_APART * drawn)
        n_scored = min(SCORED, window // 8)
        session.begin()
        ids = laid_out.ids
        feed_along(session, ids[:-n_scored], Meter(on_progress, len(ids)))
        scores = session.nll(list(ids[-n_scored:]))[_is_prose(laid_out)[-n_scored:]]
        nats = []
        for fact in laid_out.facts:
            asked = [*fact.question, *fact.answer]
            nats.append(float(session.next_nll(asked)[len(fact.question) :].mean()))
        return TrialResult(
            window=window,
            stretch=proposal.stretch,
            is_check=proposal.is_check,
            method=candidate.method,
            parameters=candidate.parameters,
            perplexity=exp(float(scores.mean())),
            recall_nats=float(np.mean(nats)) if nats else None,
            seconds=time.monotonic() - started,
        )


def _lay_out(llm: LongContextLLM, prose: Sequence[int], window: int, seed: int) -> RecallText:
    """Facts, as many as leave most of the window to prose, in as much text as fits."""
    one = build_facts(llm.tokenize, 1, seed=seed)[0]
    asking = len(one.question) + len(one.answer) + 16
    room = window - asking
    n_facts = max(1, min(N_FACTS, room // (8 * len(one.statement))))
    facts = build_facts(llm.tokenize, n_facts, seed=seed)
    return build_recall_text(prose, facts, room, seed=seed)


def _is_prose(laid_out: RecallText) -> NDArray[np.bool_]:
    """bool[n]: the tokens that are not a fact's, whose numbers nothing predicts."""
    mask = np.ones(len(laid_out.ids), dtype=bool)
    for begin, fact in zip(laid_out.begins, laid_out.facts, strict=True):
        mask[begin : begin + len(fact.statement)] = False
    return mask
