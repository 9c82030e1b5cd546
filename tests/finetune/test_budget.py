"""What cannot end in its budget is refused; the learning rate follows what is done."""

from __future__ import annotations

import pytest

from longctx.errors import RequestError
from longctx.finetune.budget import Budget, spoken


@pytest.mark.parametrize(
    ("budget", "tokens", "seconds", "done"),
    [
        (Budget(None, 1000), 250, 9e9, 0.25),
        (Budget(100, None), 10**9, 50, 0.5),
        (Budget(100, 1000), 900, 50, 0.9),
        (Budget(100, 1000), 100, 60, 0.6),
        (Budget(100, 1000), 5000, 10, 1),
        (Budget(0, None), 0, 0, 1),
    ],
)
def test_what_is_done(budget: Budget, tokens: int, seconds: float, done: float) -> None:
    """By tokens or by time, whichever comes first."""
    assert budget.done(tokens, seconds) == done


@pytest.mark.parametrize(
    ("budget", "pace_s", "said"),
    [
        (Budget(100, 1_000_000), 1.0, "at 1,000 tokens/s, and 1 min 40 s .* fewer tokens: 100,000"),
        (Budget(10, None), 1.0, "larger budget, the 10,000 tokens that fit are too few"),
        (Budget(10, 1_000_000), 1.0, "too few"),
    ],
)
def test_too_small_a_budget(budget: Budget, pace_s: float, said: str) -> None:
    """It is said what would fit."""
    with pytest.raises(RequestError, match=said):
        budget.check(4, 4000, 4 * pace_s, pace_s)


@pytest.mark.parametrize(
    "budget", [Budget(1100, 1_000_000), Budget(40, None), Budget(None, 10**12)]
)
def test_a_budget_that_suffices(budget: Budget) -> None:
    """With a tenth to spare, since machines are not always equally busy."""
    budget.check(4, 4000, 4.0, 1.0)


def test_time_is_spoken_as_people_do() -> None:
    """With two units at most."""
    assert [spoken(s) for s in (0.25, 59.7, 75, 3600, 8100)] == [
        "0.2 s",
        "1 min 0 s",
        "1 min 15 s",
        "1 h 0 min",
        "2 h 15 min",
    ]
