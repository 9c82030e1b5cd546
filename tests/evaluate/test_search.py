"""What a calibration tries next, against losses that are known."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest

from longctx import RequestError
from longctx.evaluate.calibration.factors import N_KNOTS, starting_factors
from longctx.evaluate.calibration.search import (
    N_STRETCHES,
    Candidate,
    Searched,
    best_candidate,
    formula,
    propose,
    survivors,
)
from longctx.planner import ProfileParameters, TrialResult
from longctx.rope import TrainedRope

N_TRAIN = 8192
AT = Searched(TrainedRope(64, 100_000.0, N_TRAIN), N_TRAIN, 16_384)


def row(candidate: Candidate, loss: float, stretch: int = 0) -> TrialResult:
    """A trial with this loss."""
    return TrialResult(
        window=16_384, stretch=stretch, method=candidate.method, parameters=candidate.parameters,
        perplexity=exp(loss), seconds=1,
    )  # fmt: skip


def search(
    methods: list, loss: Callable[[Candidate, int], float], limit: int = 100
) -> list[TrialResult]:
    """Try what is proposed until nothing is."""
    rows: list[TrialResult] = []
    while (proposal := propose(methods, rows, AT)) is not None:
        candidate, stretch = proposal.candidate, proposal.stretch
        rows.append(row(candidate, loss(candidate, stretch), stretch))
        assert len(rows) < limit
    tried = [(r.method, r.parameters, r.stretch) for r in rows]
    assert len(set(tried)) == len(tried)
    return rows


@pytest.mark.parametrize("best", [1.0, 1.3, 1.7, 2.5, 3.9])
def test_a_factor_is_found_by_bisection(best: float) -> None:
    """Within 8 per cent, in a dozen factors, wherever it lies."""
    rows = search(["ntk"], lambda c, _: 3 + log(c.parameters.scale_factor / best) ** 2)
    assert best_candidate(rows).parameters.scale_factor == pytest.approx(best, rel=0.08)
    assert len({r.parameters for r in rows}) <= 12


def test_every_formula_comes_first_and_only_the_best_are_refined() -> None:
    """One trial each; linear and none lie far behind and get no second."""
    base = {"none": 6.0, "linear": 4.0, "ntk": 3.0, "yarn": 3.05, "self-extend": 2.98}
    rows = search(list(base), lambda c, _: base[c.method])
    assert [r.method for r in rows[:5]] == list(base)
    assert {r.stretch for r in rows[:5]} == {0}
    counts = {method: sum(r.method == method for r in rows) for method in base}
    assert counts["none"] == counts["linear"] == 1
    assert min(counts["ntk"], counts["yarn"], counts["self-extend"]) > 1


def test_what_suits_one_stretch_only_is_not_taken() -> None:
    """Ahead on the first by chance, it is tried on the second, loses, and costs no third."""
    formulas = 3.0

    def loss(candidate: Candidate, stretch: int) -> float:
        if candidate.parameters.scale_factor == 1:
            return formulas
        return formulas - 0.3 if stretch == 0 else formulas + 0.4

    rows = search(["ntk"], loss)
    assert best_candidate(rows) == Candidate("ntk")
    others = [r for r in rows if r.parameters.scale_factor != 1]
    assert {r.stretch for r in others} == {0, 1}


def test_what_is_better_over_all_stretches_is_taken() -> None:
    """Also where the last of them likes the formula better."""

    def loss(candidate: Candidate, stretch: int) -> float:
        if candidate.parameters.scale_factor != 2:
            return 3.0
        return 2.9 if stretch < 2 else 3.1

    found = best_candidate(search(["yarn"], loss))
    assert found == Candidate("yarn", ProfileParameters(scale_factor=2))


def test_a_stretch_that_is_hard_for_all_decides_nothing() -> None:
    """Losses are compared stretch by stretch."""
    rows = search(["ntk", "yarn"], lambda c, n: 3 + 2 * n - 0.05 * (c.method == "yarn"))
    assert best_candidate(rows).method == "yarn"
    whole = {r.method for r in rows if r.stretch == N_STRETCHES - 1}
    assert whole == {"ntk", "yarn"}


def test_a_budget_that_ends_early_leaves_the_best_of_the_first_stretch() -> None:
    """However many stretches some were tried on."""
    rows = [row(Candidate("ntk"), 3.2), row(Candidate("yarn"), 3.0)]
    assert best_candidate(rows).method == "yarn"
    rows.append(row(Candidate("ntk"), 1.0, 1))
    assert best_candidate(rows).method == "yarn"


def test_self_extend_walks_to_its_best_group_and_start() -> None:
    """Step by step over the grids."""

    def loss(candidate: Candidate, _stretch: int) -> float:
        far = candidate.parameters.self_extend
        assert far is not None
        return 3 + abs(log(far.group / 16)) + abs(far.start - 5120) / 8192

    best = best_candidate(search(["self-extend"], loss)).parameters.self_extend
    assert best is not None
    assert (best.group, best.start) == (16, 5120)


def test_self_extend_is_not_walked_where_it_does_not_reach() -> None:
    """A start of half the window with blocks of a quarter reaches three blocks."""

    def loss(candidate: Candidate, _stretch: int) -> float:
        far = candidate.parameters.self_extend
        assert far is not None
        assert far.max_tokens >= AT.window
        return 3 + far.start / 8192 - far.block / 8192

    search(["self-extend"], loss)


def test_hopeless_methods_do_not_reach_the_next_window() -> None:
    """Half a nat behind is far; what was not tried is not judged."""
    rows = [row(Candidate("none"), 5.0), row(Candidate("ntk"), 3.2), row(Candidate("yarn"), 3.0)]
    assert survivors(["none", "ntk", "yarn", "linear"], rows) == ["ntk", "yarn", "linear"]


def test_too_short_a_window_has_no_blocks() -> None:
    """Said, not divided by zero."""
    short = Searched(TrainedRope(64, 100_000.0, 16), 16, 32)
    assert formula("ntk", short).parameters == ProfileParameters()
    with pytest.raises(RequestError, match="too short"):
        formula("self-extend", short)


def test_factors_walk_from_yarns_to_better_ones() -> None:
    """Knot by knot; every vector on the way is one that LongRoPE allows."""
    wanted = np.linspace(0, log(3), 32)

    def loss(candidate: Candidate, _stretch: int) -> float:
        factors = candidate.parameters.frequency_factors
        assert factors is not None
        assert min(factors) >= 1
        assert list(factors) == sorted(factors)
        return 3 + float(np.abs(np.log(factors) - wanted).mean())

    rows = search(["longrope"], loss, limit=300)
    assert rows[0].parameters.frequency_factors == starting_factors(AT.rope, 2.0)
    best = min(row.loss for row in rows)
    assert best < 3 + (rows[0].loss - 3) / 2
    assert len(rows) > 4 * N_KNOTS
