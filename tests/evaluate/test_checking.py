"""What a choice has to win before it is taken, against losses that are known."""

from __future__ import annotations

from math import exp

import pytest

from longctx.evaluate.calibration.checking import N_CHECKS, judge, proposals, split
from longctx.evaluate.calibration.search import Candidate, Proposal
from longctx.planner import ProfileParameters, TrialResult

FORMULA = Candidate("yarn")
CHOSEN = Candidate("yarn", ProfileParameters(scale_factor=1.5))


def trial(proposal: Proposal, loss: float) -> TrialResult:
    """A trial with this loss."""
    candidate = proposal.candidate
    return TrialResult(
        window=2048, stretch=proposal.stretch, is_check=proposal.is_check, seconds=1,
        method=candidate.method, parameters=candidate.parameters, perplexity=exp(loss),
    )  # fmt: skip


@pytest.mark.parametrize("n", [1000, 1999, 2000, 2100, 5000, 100_000])
def test_a_text_is_parted_where_it_bears_it(n: int) -> None:
    """Each part holds a window; a text of less than two is both parts."""
    ids = list(range(n))
    chosen_on, checked_on, are_two = split(ids, 1000)
    assert min(len(chosen_on), len(checked_on)) >= 1000
    assert are_two == (n >= 2000)
    if are_two:
        assert [*chosen_on, *checked_on] == ids
    if n == 100_000:
        assert len(chosen_on) == 60_000


@pytest.mark.parametrize(
    ("gains", "is_won"),
    [
        ((0.2, 0.1, 0.15, 0.2), True),
        ((0.5, -0.4, 0.3, -0.2), False),  # better by chance
        ((0.01, 0.01, 0.01, 0.01), True),  # a little, each time
        ((0.0, 0.0, 0.0, 0.0), False),
        ((-0.2, -0.1, -0.2, -0.1), False),
    ],
)
def test_a_choice_wins_by_more_than_its_error(gains: tuple[float, ...], is_won: bool) -> None:
    """Stretch by stretch: one that is hard for both decides nothing."""
    rows = [
        trial(each, 3 + each.stretch - (gains[each.stretch] if each.candidate == CHOSEN else 0))
        for each in proposals(CHOSEN, FORMULA)
    ]
    assert len(rows) == 2 * N_CHECKS
    check = judge(CHOSEN, FORMULA, rows, is_other_text=True)
    assert check is not None
    assert check.is_won == is_won
    assert check.gain_nats == pytest.approx(sum(gains) / N_CHECKS)
    assert judge(CHOSEN, FORMULA, rows[:-1], is_other_text=True) is None
