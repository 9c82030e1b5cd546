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
    """More turns than β_fast: untouched; fewer than β_slow: θ/s; monotonous between."""
    ramp = yarn_ramp(rope)
    turns = rope.original_ctx * rope.frequencies / (2 * math.pi)
    ours, theta = yarn(rope, scale).frequencies, rope.frequencies
    assert (np.diff(ramp) <= 0).all()
    # Rounding outwards moves each end by less than one dimension.
    untouched = np.flatnonzero(turns > 32)[:-1]
    divided_by_s = np.flatnonzero(turns < 1)[1:]
    np.testing.assert_allclose(ours[untouched], theta[untouched], rtol=1e-12)
    np.testing.assert_allclose(ours[divided_by_s], theta[divided_by_s] / scale, rtol=1e-12)


@given(ropes, scales)
def test_paper_and_code_agree_at_the_ends_of_the_ramp(rope: TrainedRope, scale: float) -> None:
    """The two NTK-by-parts meet where the ramp is flat, and stay between θ/s and θ."""
    paper, code = ntk_by_parts(rope, scale).frequencies, yarn(rope, scale).frequencies
    ramp = yarn_ramp(rope)
    flat = np.flatnonzero((ramp == 1) | (ramp == 0))
    turns = rope.original_ctx * rope.frequencies / (2 * math.pi)
    outside = flat[(turns[flat] >= 32) | (turns[flat] <= 1)]
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
@given(configs, st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_self_extend_fills_at_most_start(config: SelfExtendConfig, lengths: list[int]) -> None:
    """However a text grows, it ends below ``start``, coarser by age, its last block exact."""
    n_tokens, groups = 0, ()
    for length in lengths:
        n_tokens = min(n_tokens + length, config.max_tokens)
        groups = config.compressed(n_tokens, groups)
        positions = config.positions(n_tokens, groups)
        assert len(positions) == n_tokens
        assert positions[0] == 0
        assert positions[-1] == config.end(n_tokens, groups) - 1 < config.start
        steps = np.diff(positions)
        assert set(steps.tolist()) <= {0, 1}
        exact = min(n_tokens, config.block)
        assert (steps[n_tokens - exact :] == 1).all()
        for i, group in enumerate(groups):
            block = positions[i * config.block : (i + 1) * config.block]
            assert (np.unique(block, return_counts=True)[1] == group).all()


@given(configs)
def test_self_extend_max_tokens_fit(config: SelfExtendConfig) -> None:
    """The longest text fits, and one token more is refused with the number."""
    groups = config.compressed(config.max_tokens)
    assert config.end(config.max_tokens, groups) <= config.start
    with pytest.raises(PlanError, match=str(config.max_tokens)):
        config.compressed(config.max_tokens + 1)


def test_self_extend_by_hand() -> None:
    """g=2, w=4, start=10: the oldest block is halved again when no other is old enough."""
    config = SelfExtendConfig(group=2, block=4, start=10)
    expected = {10: (), 11: (2,), 12: (2,), 13: (2, 2), 15: (4, 2), 16: (2, 2, 2)}
    assert {n: config.compressed(n) for n in expected} == expected
    assert config.compressed(16, (4, 2)) == (4, 2, 2)
    positions = config.positions(13, (4, 2)).tolist()
    assert positions == [0] * 4 + [1, 1, 2, 2] + [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "wrong", [{"group": 1}, {"block": 6}, {"block": 0}, {"block": 12}, {"start": 15}, {"group": -4}]
)
def test_self_extend_refuses_nonsense(wrong: dict[str, int]) -> None:
    """A block that is no multiple of the group, or does not fit below start, is an error."""
    with pytest.raises(PlanError):
        SelfExtendConfig(**{"group": 4, "block": 8, "start": 16, **wrong})
