"""What the methods promise, whatever the numbers."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import PlanError
from longctx.rope import (
    Method,
    Scaled,
    SelfExtendConfig,
    TrainedRope,
    divided,
    dynamic_ntk,
    grouped_positions,
    linear,
    llama3,
    longrope,
    none,
    ntk,
    ntk_by_parts,
    rope_config,
    yarn,
    yarn_attention_factor,
    yarn_ramp,
)

ropes = st.builds(
    TrainedRope,
    n_rot=st.integers(2, 128).map(lambda half: 2 * half),
    base=st.floats(1e3, 1e7),
    original_ctx=st.integers(512, 1 << 20),
)
scales = st.floats(1, 64)
METHODS = [none, linear, ntk, dynamic_ntk, ntk_by_parts, yarn, llama3]


@given(ropes, scales)
def test_ntk_keeps_the_highest_and_divides_the_lowest(rope: TrainedRope, scale: float) -> None:
    """NTK-aware: θ₀ is kept, the last frequency is exactly θ/s, those between lie between."""
    ours, theta = ntk(rope, scale).frequencies, rope.frequencies
    assert ours[0] == theta[0] == 1
    assert ours[-1] == pytest.approx(theta[-1] / scale, rel=1e-9)
    assert (ours <= theta * (1 + 1e-12)).all()
    assert (ours >= theta / scale * (1 - 1e-9)).all()


@given(ropes, scales)
def test_ntk_is_the_exact_form_and_not_the_loose_one(rope: TrainedRope, scale: float) -> None:
    """θᵢ·s^(-2i/(d-2)): equal to the change of base."""
    i = np.arange(rope.n_rot // 2)
    exact = rope.frequencies * scale ** (-2 * i / (rope.n_rot - 2))
    np.testing.assert_allclose(ntk(rope, scale).frequencies, exact, rtol=1e-9)


@given(ropes, scales)
def test_yarn_ramp_ends(rope: TrainedRope, scale: float) -> None:
    """More rotations than β_fast: untouched; fewer than β_slow: θ/s; monotonous between."""
    ramp = yarn_ramp(rope)
    n_rotations = rope.original_ctx * rope.frequencies / (2 * math.pi)
    ours, theta = yarn(rope, scale).frequencies, rope.frequencies
    assert (np.diff(ramp) <= 0).all()
    # Rounding outwards moves each end by less than one dimension.
    untouched = np.flatnonzero(n_rotations > 32)[:-1]
    divided_by_s = np.flatnonzero(n_rotations < 1)[1:]
    np.testing.assert_allclose(ours[untouched], theta[untouched], rtol=1e-12)
    np.testing.assert_allclose(ours[divided_by_s], theta[divided_by_s] / scale, rtol=1e-12)


@given(ropes, scales)
def test_paper_and_code_agree_at_the_ends_of_the_ramp(rope: TrainedRope, scale: float) -> None:
    """The two NTK-by-parts meet where the ramp is flat, and stay between θ/s and θ."""
    paper, code = ntk_by_parts(rope, scale).frequencies, yarn(rope, scale).frequencies
    ramp = yarn_ramp(rope)
    flat = np.flatnonzero((ramp == 1) | (ramp == 0))
    n_rotations = rope.original_ctx * rope.frequencies / (2 * math.pi)
    outside = flat[(n_rotations[flat] >= 32) | (n_rotations[flat] <= 1)]
    np.testing.assert_allclose(paper[outside], code[outside], rtol=1e-12)
    for frequencies in (paper, code):
        assert (frequencies <= rope.frequencies * (1 + 1e-12)).all()
        assert (frequencies >= rope.frequencies / scale * (1 - 1e-12)).all()


@given(ropes, st.sampled_from(METHODS))
def test_scale_1_is_the_identity(rope: TrainedRope, method: Any) -> None:
    """Every method leaves the trained frequencies and keys alone at s = 1."""
    assert_identity(rope, method(rope, 1.0))


@given(ropes)
def test_factors_of_1_are_the_identity(rope: TrainedRope) -> None:
    """So do vectors of ones."""
    ones = np.ones(rope.n_rot // 2)
    assert_identity(rope, divided(rope, ones))
    assert_identity(rope, longrope(rope, 1.0, ones))


def assert_identity(rope: TrainedRope, scaled: Scaled) -> None:
    """The trained frequencies, and an attention factor of 1."""
    np.testing.assert_allclose(scaled.frequencies, rope.frequencies, rtol=1e-12)
    assert scaled.attention_factor == 1


@given(ropes, st.sampled_from(get_args(Method)))
def test_config_at_scale_1_is_the_file(rope: TrainedRope, method: Method) -> None:
    """A config at s = 1 runs what the file runs, its own scaling included."""
    file = {"trained_freq_scale": 0.25, "trained_yarn": True, "trained_attention_factor": 1.1}
    shape = {"n_rot": rope.n_rot, "base": rope.base, "original_ctx": rope.original_ctx}
    config = rope_config(method, scale=1.0, **shape, **file)
    np.testing.assert_allclose(
        config.frequencies(rope.n_rot), yarn(rope, 4.0).frequencies, rtol=1e-12
    )
    assert config.attention_factor == pytest.approx(1.1 * yarn_attention_factor(4.0))


@given(ropes, scales)
def test_config_runs_the_methods(rope: TrainedRope, scale: float) -> None:
    """On a plain file, a config's frequencies are those of the method's function."""
    shape = {"n_rot": rope.n_rot, "base": rope.base, "original_ctx": rope.original_ctx}
    expected: dict[Method, Scaled] = {
        "none": none(rope, scale),
        "linear": linear(rope, scale),
        "ntk": ntk(rope, scale),
        "dynamic": dynamic_ntk(rope, scale),
        "yarn": yarn(rope, scale),
        # llama.cpp's NTK-by-parts is YaRN without the temperature.
        "ntk-by-parts": Scaled(yarn(rope, scale).frequencies),
    }
    for method, scaled in expected.items():
        config = rope_config(method, scale=scale, **shape)
        np.testing.assert_allclose(
            config.frequencies(rope.n_rot), scaled.frequencies, rtol=1e-9, err_msg=method
        )
        assert config.attention_factor == pytest.approx(scaled.attention_factor)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.5},
        {"scale": math.nan},
        {"scale": math.inf},
        {"n_rot": 0},
        {"n_rot": 7},
        {"n_rot": 2},
        {"base": 1.0},
        {"base": math.nan},
        {"original_ctx": 0},
        {"trained_freq_scale": 0.0},
        {"frequency_factors": [1.0]},
        {"frequency_factors": [-1.0] * 32},
        {"method": "magic"},
        {"method": "yarn", "beta_slow": 40.0},
    ],
)
def test_nonsense_is_a_plan_error(wrong: dict[str, Any]) -> None:
    """Wrong numbers are refused in words, not by numpy or pydantic."""
    good = {"method": "ntk", "scale": 2.0, "n_rot": 64, "base": 1e4, "original_ctx": 2048}
    with pytest.raises(PlanError):
        rope_config(**{**good, **wrong}).frequencies(64)


# Self-Extend

configs = st.builds(
    lambda group, halvings, extra: SelfExtendConfig(
        group=group, block=group << halvings, start=(2 * group << halvings) + extra
    ),
    st.integers(2, 16),
    st.integers(0, 5),
    st.integers(0, 512),
)


@given(st.lists(st.integers(0, 1 << 20)), st.integers(1, 64))
def test_grouped_positions_are_floors(positions: list[int], group: int) -> None:
    """⌊p/g⌋, integer by integer."""
    grouped = grouped_positions(np.array(positions, dtype=np.int32), group)
    assert grouped.tolist() == [position // group for position in positions]


@settings(deadline=None)
@given(configs, st.lists(st.integers(0, 20_000), min_size=1, max_size=30))
def test_self_extend_fills_at_most_start(config: SelfExtendConfig, lengths: list[int]) -> None:
    """A text of any length ends below ``start``, coarser by age, its last block exact."""
    for length in lengths:
        n_tokens = min(length, config.max_tokens)
        stage = config.stage(n_tokens)
        assert config.start <= stage.n_tokens >= n_tokens
        assert config.end(stage.n_tokens, stage.groups) == config.start
        positions = config.positions(n_tokens, stage.groups)
        assert len(positions) == n_tokens
        if not n_tokens:
            continue
        assert positions[0] == 0
        assert positions[-1] == config.end(n_tokens, stage.groups) - 1 < config.start
        steps = np.diff(positions)
        assert set(steps.tolist()) <= {0, 1}
        exact = min(n_tokens, config.block)
        assert (steps[n_tokens - exact :] == 1).all()
        assert list(stage.groups) == sorted(stage.groups, reverse=True)
        for i, group in enumerate(stage.groups):
            block = positions[i * config.block : (i + 1) * config.block]
            assert (np.unique(block, return_counts=True)[1] == group).all()


@settings(deadline=None)
@given(configs, st.integers(0, 20_000))
def test_self_extend_stages_only_coarsen(config: SelfExtendConfig, length: int) -> None:
    """What was compressed stays so as a text grows, and a stage ends where the next begins."""
    n_tokens = min(length, config.max_tokens - 1)
    stage = config.stage(n_tokens)
    assert config.stage(stage.n_tokens) == stage
    if stage.n_tokens < config.max_tokens:
        following = config.stage(stage.n_tokens + 1)
        assert following.n_tokens > stage.n_tokens
        assert len(following.groups) >= len(stage.groups)
        pairs = zip(stage.groups, following.groups, strict=False)
        assert all(later >= earlier for earlier, later in pairs)


@given(configs)
def test_self_extend_max_tokens_fit(config: SelfExtendConfig) -> None:
    """The longest text fits, and one token more is refused with the number."""
    groups = config.stage(config.max_tokens).groups
    assert config.end(config.max_tokens, groups) <= config.start
    with pytest.raises(PlanError, match=str(config.max_tokens)):
        config.stage(config.max_tokens + 1)


def test_self_extend_by_hand() -> None:
    """g=2, w=4, start=10: the oldest block is halved again when no other is old enough."""
    config = SelfExtendConfig(group=2, block=4, start=10)
    longest = {10: (), 12: (2,), 14: (2, 2), 16: (4, 4), 18: (4, 4, 2), 19: (4, 4, 4)}
    assert {n: config.stage(n).groups for n in longest} == longest
    assert [config.stage(n).n_tokens for n in (0, 10, 11, 13, 15, 17)] == [10, 10, 12, 14, 16, 18]
    positions = config.positions(15, (4, 2)).tolist()
    assert positions == [0] * 4 + [1, 1, 2, 2] + [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "wrong", [{"group": 1}, {"block": 6}, {"block": 0}, {"block": 12}, {"start": 15}, {"group": -4}]
)
def test_self_extend_refuses_nonsense(wrong: dict[str, int]) -> None:
    """A block that is no multiple of the group, or does not fit below start, is an error."""
    with pytest.raises(PlanError):
        SelfExtendConfig(**{"group": 4, "block": 8, "start": 16, **wrong})
