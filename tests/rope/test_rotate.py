"""Rotating keys: against complex numbers, back and forth, and across llama.cpp's contexts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from longctx._native import Context, Model
from longctx.cache.state import parse_state
from longctx.errors import UnsupportedModelError
from longctx.rope import Method, RopeConfig, Rotation, rerotate, rope_config, rotate
from longctx.rope.rotate import CHUNK_VALUES
from tests.conftest import TinyGguf
from tests.rope.native_keys import native_params, open_model

PLAIN = RopeConfig(freq_base=10_000.0, original_ctx=1024)
YARN = rope_config("yarn", scale=4.0, n_rot=32, base=10_000.0, original_ctx=1024)


def random_keys(n: int, *, n_head: int = 3, head_dim: int = 32, seed: int = 0) -> Any:
    """float32[n, n_head, head_dim] of noise."""
    return np.random.default_rng(seed).standard_normal((n, n_head, head_dim), dtype=np.float32)


def by_complex_numbers(
    keys: NDArray[np.float32], angles: NDArray[np.float64], rope_type: str
) -> NDArray[np.float64]:
    """The definition, in float64: pair i times e^(i·angle); angles [n, n_rot/2]."""
    out = keys.astype(np.float64)
    half = angles.shape[1]
    if rope_type == "norm":
        first, second = np.s_[..., 0 : 2 * half : 2], np.s_[..., 1 : 2 * half : 2]
    else:
        first, second = np.s_[..., :half], np.s_[..., half : 2 * half]
    pairs = (out[first] + 1j * out[second]) * np.exp(1j * angles)[:, None]
    out[first], out[second] = pairs.real, pairs.imag
    return out


shapes = st.fixed_dictionaries(
    {
        "n": st.integers(0, 40),
        "n_head": st.integers(1, 4),
        "half": st.integers(1, 24),
        "rest": st.integers(0, 9).map(lambda pairs: 2 * pairs),
        "first": st.integers(0, 1_000_000),
        "rope_type": st.sampled_from(["norm", "neox"]),
    }
)


@given(shapes)
def test_rotate_is_multiplication_by_e_to_the_i(shape: dict[str, Any]) -> None:
    """Any shape, whole or partial rotary, up to a million positions; the rest is untouched."""
    n, n_rot = shape["n"], 2 * shape["half"]
    keys = random_keys(n, n_head=shape["n_head"], head_dim=n_rot + shape["rest"])
    positions = np.arange(shape["first"], shape["first"] + n)
    theta = PLAIN.frequencies(n_rot)
    ours = rotate(keys, positions, theta, rope_type=shape["rope_type"])
    expected = by_complex_numbers(keys, np.multiply.outer(positions, theta), shape["rope_type"])
    np.testing.assert_allclose(ours, expected, atol=3e-6)
    np.testing.assert_array_equal(ours[..., n_rot:], keys[..., n_rot:])


@pytest.mark.parametrize("rope_type", ["norm", "neox"])
def test_attention_factor_spares_what_does_not_turn(rope_type: str) -> None:
    """The factor multiplies the n_rot dimensions only, as in llama.cpp."""
    keys, positions = random_keys(5), np.arange(5)
    theta = PLAIN.frequencies(16)
    plain = rotate(keys, positions, theta, rope_type=rope_type)
    scaled = rotate(keys, positions, theta, rope_type=rope_type, attention_factor=1.25)
    np.testing.assert_allclose(scaled[..., :16], 1.25 * plain[..., :16], atol=1e-6)
    np.testing.assert_array_equal(scaled[..., 16:], keys[..., 16:])


@pytest.mark.parametrize("rope_type", ["norm", "neox"])
@pytest.mark.parametrize("n_rot", [32, 12])
def test_rerotate_equals_rotating_afresh(rope_type: str, n_rot: int) -> None:
    """From one RoPE and place to another, more rows than one chunk holds, and back again."""
    keys = random_keys(3000)
    rng = np.random.default_rng(1)
    here, there = rng.integers(0, 200_000, (2, 3000))
    shape: dict[str, Any] = {"n_rot": n_rot, "rope_type": rope_type}

    def afresh(positions: NDArray[np.int64], rope: RopeConfig) -> NDArray[np.float32]:
        return rotate(
            keys,
            positions,
            rope.frequencies(n_rot),
            rope_type=rope_type,
            attention_factor=rope.attention_factor,
        )

    moved = rerotate(afresh(here, PLAIN), here, PLAIN, there, YARN, **shape)
    np.testing.assert_allclose(moved, afresh(there, YARN), atol=5e-6)
    back = rerotate(moved, there, YARN, here, PLAIN, **shape)
    np.testing.assert_allclose(back, afresh(here, PLAIN), atol=5e-6)


@pytest.mark.parametrize("rope_type", ["norm", "neox"])
def test_out_may_be_the_keys(rope_type: str) -> None:
    """In place, into another array and into a new one: the same, and inputs stay as they were."""
    keys, positions = random_keys(700), np.arange(700)
    rotation = Rotation.between(positions, PLAIN, positions, YARN, n_rot=32, rope_type=rope_type)
    given_keys, other = keys.copy(), np.empty_like(keys)
    fresh = rotation.apply(keys)
    np.testing.assert_array_equal(keys, given_keys)
    assert rotation.apply(keys, out=other) is other
    assert rotation.apply(keys, out=keys) is keys
    np.testing.assert_array_equal(other, fresh)
    np.testing.assert_array_equal(keys, fresh)


@pytest.mark.parametrize("rope_type", ["norm", "neox"])
def test_some_rows_of_a_long_text(rope_type: str) -> None:
    """Each key has the rotation of its own row, whatever chunks they are taken in."""
    n = 3 * CHUNK_VALUES // (3 * 32) + 5
    keys, positions = random_keys(n), np.arange(n)
    rotation = Rotation.between(positions, PLAIN, positions, YARN, n_rot=32, rope_type=rope_type)
    whole = rotation.apply(keys)
    for row in (0, n // 2, n - 1):
        alone = rotation[row : row + 1].apply(keys[row : row + 1])
        np.testing.assert_array_equal(whole[row : row + 1], alone)
    np.testing.assert_array_equal(rotation.apply(keys[700:], rows=slice(700, None)), whole[700:])
    with pytest.raises(ValueError, match=f"{n - 701} rows of n_rot 32"):
        rotation.apply(keys[700:], rows=slice(701, None))
    with pytest.raises(ValueError, match=f"{n} rows of n_rot 32"):
        rotation.apply(keys[700:])


def test_shapes_that_do_not_match_are_refused() -> None:
    """Another number of rows, too few dimensions, positions of two lengths, no RoPE."""
    positions = np.arange(4)
    rotation = Rotation.between(positions, PLAIN, positions, YARN, n_rot=32, rope_type="neox")
    with pytest.raises(ValueError, match="rows of n_rot 32"):
        rotation.apply(random_keys(5))
    with pytest.raises(ValueError, match="rows of n_rot 32"):
        rotation.apply(random_keys(4, head_dim=16))
    with pytest.raises(ValueError, match="4 old and 3 new"):
        Rotation.between(positions, PLAIN, positions[:3], YARN, n_rot=32, rope_type="neox")
    with pytest.raises(UnsupportedModelError, match="'none'"):
        rotate(random_keys(4), positions, PLAIN.frequencies(32), rope_type="none")


@pytest.mark.parametrize("method", ["linear", "ntk", "ntk-by-parts", "yarn"])
@pytest.mark.parametrize("architecture", ["llama", "stablelm"])
def test_re_rotated_state_is_the_other_context_s(
    tiny_gguf: TinyGguf, architecture: str, method: Method
) -> None:
    """A prefix cached unscaled, then re-rotated: layer 0's keys are the new context's own."""
    n_rot, rope_type = {"llama": (32, "norm"), "stablelm": (8, "neox")}[architecture]
    shape: dict[str, Any] = {"n_rot": n_rot, "base": 10_000.0, "original_ctx": 1024}
    rope = rope_config(method, scale=4.0, **shape)
    path = tiny_gguf(architecture)
    ids = np.random.default_rng(0).integers(0, 250, 200)
    states = []
    for each in (PLAIN, rope):
        context = Context(open_model(path, architecture, each), native_params(each))
        context.decode(ids, 0)
        states.append(context.get_state())
    state, wanted = states
    cache = parse_state(state).caches[0]
    rotation = Rotation.between(
        cache.positions, PLAIN, cache.positions, rope, n_rot=n_rot, rope_type=rope_type
    )
    before = cache.keys[0].read(state)
    cache.keys[0].rotate(state, rotation, head_dim=32)
    ours, theirs = cache.keys[0].read(state), parse_state(wanted).caches[0].keys[0].read(wanted)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert np.abs(before - theirs).max() > 0.5


def test_re_rotated_state_continues_the_text(demo_gguf: Path) -> None:
    """SmolLM2: a text re-rotated to NTK's base predicts as a second prefill; as it was, not.

    It stands at position 6000, where old keys under new queries are far off.
    """
    rope = rope_config("ntk", scale=2.0, n_rot=64, base=100_000.0, original_ctx=8192)
    native = RopeConfig(freq_base=100_000.0, original_ctx=8192)
    model = Model(demo_gguf)
    ids = model.encode(
        "Alice was beginning to get very tired of sitting by her sister on the bank, and of "
        "having nothing to do: once or twice she had peeped into the book her sister was "
        "reading, but it had no pictures or conversations in it."
    )
    source = Context(model, native_params(native))
    source.decode(ids[:-1], 6000)
    original = source.get_state()
    state = original.copy()
    cache = parse_state(state).caches[0]
    rotation = Rotation.between(
        cache.positions, native, cache.positions, rope, n_rot=64, rope_type="norm"
    )
    for keys in cache.keys:
        keys.rotate(state, rotation, head_dim=64)

    target = Context(model, native_params(rope))
    logits = []
    for each in (None, state, original):
        target.clear()
        if each is None:
            target.decode(ids[:-1], 6000)
        else:
            target.set_state(each)
        target.decode(ids[-1:], 6000 + len(ids) - 1)
        logits.append(target.logits()[0].copy())
    afresh, rotated, wrong = logits
    assert np.abs(rotated - afresh).mean() < 0.4 * np.abs(wrong - afresh).mean()
