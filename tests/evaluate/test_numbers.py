"""Confidence, fitting, progress and stretches: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx import ContextOverflowError, DocumentError, Progress, RequestError
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.confidence import wilson_interval
from longctx.evaluate.measures.retrieval import first_number
from longctx.evaluate.measures.ruler import RulerScore, effective_window
from longctx.evaluate.prompts.fitting import largest_fitting
from longctx.evaluate.prompts.texts import python_reference, stretch
from longctx.progress import Meter


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (81, 263, 0.255, 0.366)],
)
def test_wilson_against_published_values(hits: int, trials: int, low: float, high: float) -> None:
    """The last row is Newcombe's (1998) example for the score method."""
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=6e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_narrows(case: tuple[int, int]) -> None:
    """Between 0 and 1, around the share, narrower with ten times the trials."""
    hits, trials = case
    low, high = wilson_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
    more = wilson_interval(10 * hits, 10 * trials)
    assert more[1] - more[0] < high - low


@given(st.integers(1, 9), st.integers(0, 50), st.integers(50, 3000), st.integers(0, 400))
def test_fitting_finds_the_last_size_that_fits(
    per_unit: int, fixed: int, limit: int, upper: int
) -> None:
    """The found size fits, and one more does not, unless there is no more."""
    n = largest_fitting(lambda n: fixed + per_unit * n, limit, upper)
    assert fixed + per_unit * n <= limit
    assert n == upper or fixed + per_unit * (n + 1) > limit


def test_fitting_refuses_what_cannot_fit() -> None:
    """The bare prompt is too long: the numbers are in the error."""
    with pytest.raises(ContextOverflowError) as caught:
        largest_fitting(lambda n: 70 + n, 64, 10)
    assert (caught.value.needed, caught.value.available) == (70, 64)


def test_a_meter_adds_prompts_up() -> None:
    """Three prompts report as one; what a prompt finds in the cache counts as done."""
    seen: list[Progress] = []
    meter = Meter(seen.append, 300)
    meter.prompt(100)(Progress(done_tokens=40, total_tokens=100, elapsed_s=1.0))
    meter.prompt(100)(Progress(done_tokens=10, total_tokens=30, elapsed_s=1.0))
    meter.prompt(100)
    meter.finish()
    assert [p.done_tokens for p in seen] == [0, 40, 100, 180, 200, 300]
    assert {p.total_tokens for p in seen} == {300}


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 1000))
def test_a_stretch_is_consecutive_and_its_seed_decides_it(n: int, spare: int, seed: int) -> None:
    """Exact length, neighbours stay neighbours, the same seed the same stretch."""
    ids = list(range(n + spare))
    taken = stretch(ids, n, seed)
    assert taken == list(range(taken[0], taken[0] + n))
    assert taken == stretch(ids, n, seed)


def test_a_text_that_is_too_short_is_refused() -> None:
    """With both numbers."""
    with pytest.raises(DocumentError, match=r"5 tokens and 6"):
        stretch([1, 2, 3, 4, 5], 6, 0)
    with pytest.raises(RequestError, match="seed"):
        stretch([1, 2, 3], 1, -1)


def test_the_packaged_text_is_long_prose() -> None:
    """Long enough for windows of 64k tokens on most tokenizers."""
    assert len(python_reference()) > 400_000


@pytest.mark.parametrize(
    ("answer", "number"),
    [(" 42532.", "42532"), ("It is 1,234,567.", "1234567"), ("none", ""), ("7 or 8", "7")],
)
def test_the_first_number_of_an_answer(answer: str, number: str) -> None:
    """Separators of thousands do not count."""
    assert first_number(answer) == number


def test_the_effective_window_ends_before_the_first_failure() -> None:
    """A length that passes behind one that fails does not count; the mean over tasks decides."""

    def scores(**by_length: tuple[float, float]) -> list[RulerScore]:
        return [
            RulerScore(task=task, length=int(length[1:]), score=score, samples=())
            for length, pair in by_length.items()
            for task, score in zip("ab", pair, strict=True)
        ]

    assert effective_window(scores(n1=(100, 80), n2=(90, 86)), 85.6) == 2
    assert effective_window(scores(n1=(90, 90), n2=(0, 90), n4=(100, 100)), 85.6) == 1
    assert effective_window(scores(n1=(85, 85)), 85.6) is None


def test_columns_line_up() -> None:
    """First column flush left, the others flush right, under the title."""
    table = str(Table("T", ("window", "8"), [("ntk", "12.5"), ("none", "7")]))
    assert table.splitlines() == ["T", "  window     8", "  ntk     12.5", "  none       7"]
