"""The calibration profiles that ship, and what a profile says of its choice."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from longctx import ModelInfo, demo_model
from longctx.evaluate.calibration.search import N_STRETCHES
from longctx.packaged_model import fast_copy
from longctx.planner import (
    Check,
    Choice,
    Profile,
    ProfileParameters,
    TrialResult,
    plan_context,
    profile_path,
)
from longctx.planner.profile import shipped_profiles

SHIPPED = sorted(shipped_profiles().glob("*.json"))


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: Any, tmp_path: Path) -> None:
    """Profiles of the test, not the user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def row(window: int, method: Any, loss: float, stretch: int = 0, **parameters: Any) -> TrialResult:
    """A trial with this log-perplexity and recall."""
    return TrialResult(
        window=window, stretch=stretch, method=method, parameters=ProfileParameters(**parameters),
        perplexity=exp(loss), recall_nats=loss, seconds=1,
    )  # fmt: skip


def profile(*results: TrialResult, method: Any = "yarn", **parameters: Any) -> Profile:
    """One that chose this method with these parameters."""
    windows = sorted({r.window for r in results})
    settings = ProfileParameters(**parameters)
    choices = [Choice(window=window, method=method, parameters=settings) for window in windows]
    return Profile(model_sha256="0" * 64, choices=tuple(choices), results=results)


def test_profiles_ship() -> None:
    """At least one, of the demo model."""
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem[:24])
def test_what_ships_was_measured(path: Path) -> None:
    """It lies under the name of its model, and what is no formula won on text of its own."""
    shipped = Profile.model_validate_json(path.read_bytes())
    assert path.stem.endswith(f"-{shipped.model_sha256}")
    checks = [choice.check for choice in shipped.choices]
    assert any(checks)
    for choice, check in zip(shipped.choices, checks, strict=True):
        assert shipped.measured(choice)
        if check is None:
            plain = {row.parameters for row in shipped.results if row.window == choice.window}
            assert choice.parameters in plain
            assert shipped.n_stretches(choice) == 1
        else:
            assert check.is_won
            assert check.is_other_text
            assert shipped.n_stretches(choice) == N_STRETCHES


@pytest.mark.parametrize("window", ["elastic", "fixed"])
def test_the_demo_model_has_its_profile(window: str) -> None:
    """The copy that everything runs is planned by what was measured on it."""
    plan = plan_context(fast_copy(demo_model()), 32_768, window=window)
    assert plan.profile is not None
    assert plan.method == plan.profile.method
    assert "at 32,768 tokens (" in plan.reasons[0]
    assert plan.warnings == ()


def test_the_users_own_goes_before_what_ships() -> None:
    """A calibration of the same model replaces it."""
    info = ModelInfo.from_gguf(fast_copy(demo_model()))
    mine = Profile(model_sha256=info.sha256, method="linear", window=16_384)
    mine.save(profile_path(info))
    assert plan_context(info, 16_384).method == "linear"


def test_the_choice_is_set_against_ntks_formula() -> None:
    """Over the stretches that both were measured on, at the largest window that fits."""
    found = profile(
        row(1024, "yarn", 1.0), row(2048, "ntk", 3.0), row(2048, "yarn", 2.0),
        row(2048, "yarn", 5.0, 1),
    )  # fmt: skip
    small, large = found.choices
    assert found.measured(small) == "perplexity 2.7 and recall 1.00 nats at 1,024 tokens"
    assert found.measured(large) == (
        "perplexity 7.4 and recall 2.00 nats at 2,048 tokens against "
        "perplexity 20.1 and recall 3.00 nats by NTK's formula"
    )


def test_without_ntk_it_is_set_against_its_own_formula() -> None:
    """Which was tried first; a choice that is the formula has nothing beside it."""
    rows = (row(2048, "yarn", 3.0), row(2048, "yarn", 2.0, scale_factor=1.3))
    found = profile(*rows, scale_factor=1.3)
    assert str(found.measured(found.choices[0])).endswith(
        "against perplexity 20.1 and recall 3.00 nats by the formula"
    )
    alone = profile(rows[0])
    assert "against" not in str(alone.measured(alone.choices[0]))


def test_a_check_is_what_is_told() -> None:
    """Not the stretches that flattered the choice; and the formula, where it was kept."""
    rows = (
        row(2048, "self-extend", 1.0, scale_factor=2.0),
        row(2048, "self-extend", 3.0).model_copy(update={"is_check": True}),
        row(2048, "self-extend", 2.0, scale_factor=2.0).model_copy(update={"is_check": True}),
    )
    won = Check(gain_nats=1.0, error_nats=0.1, n_stretches=4)
    lost = Check(gain_nats=0.1, error_nats=0.1, n_stretches=4)
    told = []
    for check, factor in ((won, 2.0), (lost, 1.0)):
        parameters = ProfileParameters(scale_factor=factor)
        choice = Choice(window=2048, method="self-extend", parameters=parameters, check=check)
        found = Profile(model_sha256="0" * 64, choices=(choice,), results=rows)
        told.append(found.measured(choice))
    assert told == [
        "perplexity 7.4 and recall 2.00 nats at 2,048 tokens against "
        "perplexity 20.1 and recall 3.00 nats by the formula",
        "perplexity 20.1 and recall 3.00 nats at 2,048 tokens against "
        "perplexity 7.4 and recall 2.00 nats by the best other that was found",
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(1025, 2048), (1024, None), (2048, 2048), (2049, 4096), (4097, 4096), (65_536, 4096)],
)
def test_each_window_has_its_choice(wanted: int, found: int | None) -> None:
    """The smallest that holds it, unless that is twice as large; the largest beyond all."""
    mine = profile(row(2048, "yarn", 1.0), row(4096, "yarn", 1.0))
    choice = mine.choice(wanted)
    assert (choice.window if choice else None) == found


def test_a_larger_window_takes_nothing_from_a_smaller() -> None:
    """Between two that are far apart it is the one below."""
    mine = profile(row(1024, "yarn", 1.0), row(4096, "yarn", 1.0))
    found = [mine.choice(n_ctx) for n_ctx in (512, 1100, 2048, 2049)]
    assert [choice.window if choice else None for choice in found] == [None, 1024, 1024, 4096]


def test_the_windows_of_a_profile_rise() -> None:
    """One choice each."""
    one = Choice(window=2048, method="yarn")
    with pytest.raises(ValidationError, match="must rise"):
        Profile(model_sha256="0" * 64, choices=(one, one))
    with pytest.raises(ValidationError):
        Profile(model_sha256="0" * 64, choices=())


def test_a_profile_of_version_1_is_its_one_choice() -> None:
    """As users have it on their disks: it was made for the largest window, and holds there."""
    old = {
        "version": 1, "model_sha256": "0" * 64, "method": "linear", "window": 16_384,
        "parameters": {"scale_factor": 1.5}, "results": [],
    }  # fmt: skip
    read = Profile.model_validate(old)
    assert read.choices == (
        Choice(window=16_384, method="linear", parameters=ProfileParameters(scale_factor=1.5)),
    )
    assert Profile.model_validate_json(read.model_dump_json()) == read
    with pytest.raises(ValidationError):
        Profile.model_validate({**old, "version": 3})
