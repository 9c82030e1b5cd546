"""The calibration profiles that ship, and what a profile says of its choice."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import pytest

from longctx import ModelInfo, demo_model
from longctx.evaluate.calibration.search import N_STRETCHES
from longctx.packaged_model import fast_copy
from longctx.planner import Profile, ProfileParameters, TrialResult, plan_context, profile_path
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
    return Profile(
        model_sha256="0" * 64, method=method, window=max(r.window for r in results),
        parameters=ProfileParameters(**parameters), results=results,
    )  # fmt: skip


def test_profiles_ship() -> None:
    """At least one, of the demo model."""
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem[:24])
def test_what_ships_was_measured(path: Path) -> None:
    """It lies under the name of its model, and its choice won over all stretches."""
    shipped = Profile.model_validate_json(path.read_bytes())
    assert path.stem.endswith(f"-{shipped.model_sha256}")
    assert shipped.n_stretches == N_STRETCHES
    assert shipped.measured(shipped.window)


@pytest.mark.parametrize("window", ["elastic", "fixed"])
def test_the_demo_model_has_its_profile(window: str) -> None:
    """The copy that everything runs is planned by what was measured on it."""
    plan = plan_context(fast_copy(demo_model()), 32_768, window=window)
    assert plan.profile is not None
    assert plan.method == plan.profile.method
    assert "at 32,768 tokens against" in plan.reasons[0]
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
    assert found.measured(1500) == "perplexity 2.7 and recall 1.00 nats at 1,024 tokens"
    assert found.measured(4096) == (
        "perplexity 7.4 and recall 2.00 nats at 2,048 tokens against "
        "perplexity 20.1 and recall 3.00 nats by NTK's formula"
    )
    assert found.measured(512) is None


def test_without_ntk_it_is_set_against_its_own_formula() -> None:
    """Which was tried first; a choice that is the formula has nothing beside it."""
    rows = (row(2048, "yarn", 3.0), row(2048, "yarn", 2.0, scale_factor=1.3))
    assert str(profile(*rows, scale_factor=1.3).measured(2048)).endswith(
        "against perplexity 20.1 and recall 3.00 nats by its formula"
    )
    assert "against" not in str(profile(*rows).measured(2048))
