"""A calibration found by the model's hash, and bad ones passed over."""

from pathlib import Path

import pytest

from longctx.model_info import ModelInfo
from longctx.planner import Profile, ProfileParameters, TrialResult, plan_context, profile_path
from longctx.rope import SelfExtendConfig
from tests.conftest import TinyGguf


@pytest.fixture
def info(tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelInfo:
    """A model, and a profile folder of the test's own."""
    monkeypatch.setattr("longctx.planner.profile.profiles_dir", lambda: tmp_path / "profiles")
    return ModelInfo.from_gguf(tiny_gguf())


def profile(info: ModelInfo, **changes: object) -> Profile:
    """A good profile of the model, with changes."""
    values = {"model_sha256": info.sha256, "method": "yarn", "window": 4096, **changes}
    return Profile.model_validate(values)


def test_auto_prefers_the_profile(info: ModelInfo) -> None:
    """Its method and parameters, in every window on the way."""
    wider = ProfileParameters(scale_factor=1.5)
    trial = TrialResult(window=4096, method="ntk", parameters=wider, perplexity=9.5, seconds=1)
    measured = profile(info, method="ntk", parameters=wider, results=(trial,))
    measured.save(profile_path(info))
    plan = plan_context(info, 4096)
    assert plan.profile == measured
    assert (plan.method, plan.scale) == ("ntk", 6)
    assert plan.rope_at(2048).scale == 3
    assert not plan.warnings
    assert "s times 1.5" in plan.reasons[0]
    assert "perplexity 9.5 at 4,096 tokens" in plan.reasons[0]


def test_a_named_method_overrides_the_profile(info: ModelInfo) -> None:
    """The profile answers auto, nothing else."""
    profile(info).save(profile_path(info))
    plan = plan_context(info, 4096, method="linear")
    assert (plan.method, plan.profile) == ("linear", None)


def test_past_what_was_measured_is_warned_of(info: ModelInfo) -> None:
    """It still serves, with a doubt."""
    profile(info, window=2048).save(profile_path(info))
    plan = plan_context(info, 4096)
    assert plan.method == "yarn"
    assert "never measured" in plan.warnings[0]


def test_a_measured_self_extend_that_does_not_reach_is_passed_over(info: ModelInfo) -> None:
    """Calibrated for one window, asked for a far larger one: as without the calibration."""
    short = ProfileParameters(self_extend=SelfExtendConfig(group=4, block=128, start=256))
    profile(info, method="self-extend", parameters=short, window=2048).save(profile_path(info))
    plan = plan_context(info, 8192)
    assert (plan.method, plan.profile) == ("self-extend", None)
    assert plan.self_extend != short.self_extend
    assert "is ignored, which chose self-extend" in plan.warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1, "model_sha256": "xx", "method": "yarn", "window": 1}',
    ],
)
def test_unreadable_profiles_are_passed_over(info: ModelInfo, content: bytes) -> None:
    """A warning, no crash, and the plan of an uncalibrated model."""
    path = profile_path(info)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    plan = plan_context(info, 4096)
    assert (plan.method, plan.profile) == ("self-extend", None)
    assert "is ignored" in plan.warnings[0]


def test_profile_of_another_model_is_passed_over(info: ModelInfo) -> None:
    """Copied under this model's name, it is found out by the hash inside."""
    profile(info, model_sha256="0" * 64).save(profile_path(info))
    plan = plan_context(info, 4096)
    assert plan.method == "self-extend"
    assert "another model" in plan.warnings[0]


def test_no_model_is_hashed_without_a_profile_of_its_size(info: ModelInfo) -> None:
    """Hashing 40 GB for nothing would take half a minute."""
    fresh = ModelInfo.from_gguf(info.path)
    plan_context(fresh, 4096)
    assert "sha256" not in fresh.__dict__
