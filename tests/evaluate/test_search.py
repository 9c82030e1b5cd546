"""What a calibration tries next, against losses that are known."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest

from longctx import PlanError
from longctx.evaluate.factors import N_KNOTS, starting_factors
from longctx.evaluate.search import Candidate, Searched, formula, propose, survivors
from longctx.planner import ProfileParameters, TrialResult
from longctx.rope import TrainedRope

N_TRAIN = 8192
AT = Searched(TrainedRope(64, 100_000.0, N_TRAIN), N_TRAIN, 16_384)


def row(candidate: Candidate, loss: float) -> TrialResult:
    """A trial with this loss."""
    return TrialResult(
        window=16_384, method=candidate.method, parameters=candidate.parameters,
        perplexity=exp(loss), seconds=1,
    )  # fmt: skip


def search(
    methods: list, loss: Callable[[Candidate], float], limit: int = 100
) -> list[TrialResult]:
    """Try what is proposed until nothing is."""
    rows: list[TrialResult] = []
    while (candidate := propose(methods, rows, AT)) is not None:
        rows.append(row(candidate, loss(candidate)))
        assert len(rows) < limit
    tried = [(r.method, r.parameters) for r in rows]
    assert len(set(tried)) == len(tried)
    return rows


@pytest.mark.parametrize("best", [1.0, 1.3, 1.7, 2.5, 3.9])
def test_a_factor_is_found_by_bisection(best: float) -> None:
    """Within 8 per cent, in a dozen trials, wherever it lies."""
    rows = search(["ntk"], lambda c: 3 + log(c.parameters.scale_factor / best) ** 2)
    found = min(rows, key=lambda r: r.loss).parameters.scale_factor
    assert found == pytest.approx(best, rel=0.08)
    assert len(rows) <= 12


def test_every_formula_comes_first_and_only_the_best_are_refined() -> None:
    """One trial each; linear and none lie far behind and get no second."""
    base = {"none": 6.0, "linear": 4.0, "ntk": 3.0, "yarn": 3.05, "self-extend": 2.98}
    rows = search(list(base), lambda c: base[c.method])
    assert [r.method for r in rows[:5]] == list(base)
    counts = {method: sum(r.method == method for r in rows) for method in base}
    assert counts["none"] == counts["linear"] == 1
    assert min(counts["ntk"], counts["yarn"], counts["self-extend"]) > 1


def test_self_extend_walks_to_its_best_group_and_start() -> None:
    """Step by step over the grids."""

    def loss(candidate: Candidate) -> float:
        far = candidate.parameters.self_extend
        assert far is not None
        return 3 + abs(log(far.group / 16)) + abs(far.start - 5120) / 8192

    best = min(search(["self-extend"], loss), key=lambda r: r.loss).parameters.self_extend
    assert best is not None
    assert (best.group, best.start) == (16, 5120)


def test_hopeless_methods_do_not_reach_the_next_window() -> None:
    """Half a nat behind is far."""
    rows = [row(Candidate("none"), 5.0), row(Candidate("ntk"), 3.2), row(Candidate("yarn"), 3.0)]
    assert survivors(["none", "ntk", "yarn"], rows) == ["ntk", "yarn"]


def test_too_short_a_window_has_no_blocks() -> None:
    """Said, not divided by zero."""
    short = Searched(TrainedRope(64, 100_000.0, 16), 16, 32)
    assert formula("ntk", short).parameters == ProfileParameters()
    with pytest.raises(PlanError, match="too short"):
        formula("self-extend", short)


def test_factors_walk_from_yarns_to_better_ones() -> None:
    """Knot by knot; every vector on the way is one that LongRoPE allows."""
    wanted = np.linspace(0, log(3), 32)

    def loss(candidate: Candidate) -> float:
        factors = candidate.parameters.frequency_factors
        assert factors is not None
        assert min(factors) >= 1
        assert list(factors) == sorted(factors)
        return 3 + float(np.abs(np.log(factors) - wanted).mean())

    rows = search(["longrope"], loss, limit=200)
    assert rows[0].parameters.frequency_factors == starting_factors(AT.rope, 2.0)
    best = min(row.loss for row in rows)
    assert best < 3 + (rows[0].loss - 3) / 2
    assert len(rows) > 4 * N_KNOTS
