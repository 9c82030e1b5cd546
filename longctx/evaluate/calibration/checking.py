"""Whether what a search chose beats the formula on text that it was not chosen on.

A search takes the best of some dozens, and the best of many noisy figures flatters itself. So a
choice reads other stretches with other facts, and the formula reads the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import mean, stdev

from longctx.evaluate.calibration.search import Candidate, Proposal
from longctx.planner import Check, TrialResult

N_CHECKS = 4
"""Stretches of a check."""

_CHOSEN_ON = 0.6  # of a text; the rest is for checks


def split(ids: Sequence[int], window: int) -> tuple[Sequence[int], Sequence[int], bool]:
    """The part of a text to choose on, and the part to check on.

    Args:
        ids: of the text, at least a window of them.
        window: in tokens.

    Returns:
        Both parts, and whether they are two: a text of less than two windows is both of them.
    """
    cut = min(max(int(_CHOSEN_ON * len(ids)), window), len(ids) - window)
    return (ids[:cut], ids[cut:], True) if cut >= window else (ids, ids, False)


def proposals(chosen: Candidate, formula: Candidate) -> Iterator[Proposal]:
    """What a check measures, in pairs."""
    for stretch in range(N_CHECKS):
        for candidate in (formula, chosen):
            yield Proposal(candidate, stretch, is_check=True)


def judge(
    chosen: Candidate, formula: Candidate, rows: Sequence[TrialResult], *, is_other_text: bool
) -> Check | None:
    """Compare the trials of a check, stretch by stretch; None where some were not made."""
    losses = {(Candidate(row.method, row.parameters), row.stretch): row.loss for row in rows}
    pairs = [((formula, stretch), (chosen, stretch)) for stretch in range(N_CHECKS)]
    if any(one not in losses for pair in pairs for one in pair):
        return None
    gains = [losses[theirs] - losses[mine] for theirs, mine in pairs]
    return Check(
        gain_nats=mean(gains),
        error_nats=stdev(gains) / sqrt(N_CHECKS),
        n_stretches=N_CHECKS,
        is_other_text=is_other_text,
    )
