"""The codec of llama.cpp's sequence state: layouts, rewriting in place, damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from longctx._native import Context, ContextParams, Model
from longctx.cache.state import parse_state
from longctx.errors import SnapshotMismatchError
from longctx.rope import RopeConfig, Rotation
from tests.conftest import TinyGguf
from tests.support.rounding import coarser

IDS = np.random.default_rng(0).integers(0, 250, 100)
PLAIN = RopeConfig(freq_base=10_000.0, original_ctx=1024)


def filled(tiny_gguf: TinyGguf, architecture: str = "llama", **params: Any) -> Context:
    """A context of a tiny model that holds IDS at positions 0 to 99."""
    context = Context(Model(tiny_gguf(architecture)), ContextParams(n_ctx=256, **params))
    context.decode(IDS, 0)
    return context


@pytest.mark.parametrize("flash_attention", ["on", "off"])
@pytest.mark.parametrize("kv_type", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_layout(tiny_gguf: TinyGguf, kv_type: str, flash_attention: Any) -> None:
    """Each key type, values in rows and transposed: layers, rows and positions are found."""
    value_type = kv_type if flash_attention == "on" else "f16"
    context = filled(
        tiny_gguf, kv_type_k=kv_type, kv_type_v=value_type, flash_attention=flash_attention
    )
    layout = parse_state(context.get_state())
    (cache,) = layout.caches
    assert layout.seq_id == 0
    assert cache.positions.tolist() == list(range(100))
    assert cache.v_transposed == (flash_attention == "off")
    assert [(keys.kv_type, keys.n_cells) for keys in cache.keys] == [(kv_type, 100)] * 3
    row_bytes = {"f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q4_0": 18}[kv_type]
    assert {keys.row_bytes for keys in cache.keys} == {row_bytes}


@pytest.mark.parametrize("kv_type", ["f16", "bf16"])
def test_halves_are_the_float32_keys_rounded(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """The first layer read from a half-precision cache is that of the float32 cache, rounded."""
    rows = []
    for each in ("f32", kv_type):
        state = filled(tiny_gguf, kv_type_k=each).get_state()
        rows.append(parse_state(state).caches[0].keys[0].read(state))
    exact, half = rows
    bits = {"f16": 11, "bf16": 8}[kv_type]
    np.testing.assert_allclose(half, exact, rtol=2.0**-bits, atol=1e-6)
    assert (half != exact).any()


@pytest.mark.parametrize("kv_type", ["f32", "f16", "bf16"])
def test_what_is_written_is_read_and_stays_in_place(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """Some rows of one layer change, and not a byte besides; llama.cpp takes it back."""
    context = filled(tiny_gguf, kv_type_k=kv_type)
    state = context.get_state()
    changed = state.copy()
    keys = parse_state(state).caches[0].keys[1]
    values = np.linspace(-2, 2, 10 * 32, dtype=np.float32).reshape(10, 32)
    keys.write(changed, values, slice(5, 15))
    np.testing.assert_allclose(keys.read(changed, slice(5, 15)), values, rtol=2.0**-8)
    begin, end = (keys.offset + row * keys.row_bytes for row in (5, 15))
    outside = np.r_[0:begin, end : state.size]
    np.testing.assert_array_equal(changed[outside], state[outside])
    context.clear()
    context.set_state(changed)
    np.testing.assert_array_equal(context.get_state(), changed)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_rows_that_do_not_turn_stay_as_they_are(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """To the byte, also of quantised rows, which would be rounded again."""
    state = filled(tiny_gguf, kv_type_k=kv_type).get_state()
    rotated = state.copy()
    keys = parse_state(rotated).caches[0].keys[1]
    old = np.arange(100)
    rotation = Rotation.between(
        old, PLAIN, old + 7 * ((old >= 20) & (old < 60)), PLAIN, n_rot=32, rope_type="norm"
    )
    keys.rotate(rotated, rotation, head_dim=32)
    changed = np.flatnonzero(rotated != state) - keys.offset
    assert {int(row) for row in changed // keys.row_bytes} == set(range(20, 60))


def test_reading_and_writing_back_changes_nothing(tiny_gguf: TinyGguf) -> None:
    """Every byte of a float16 state stays."""
    state = filled(tiny_gguf).get_state()
    written = state.copy()
    for keys in parse_state(written).caches[0].keys:
        keys.write_heads(written, keys.read_heads(state, 32))
    np.testing.assert_array_equal(written, state)


def test_positions_can_be_rewritten(tiny_gguf: TinyGguf) -> None:
    """Keys and positions moved by 50: the context stands there, as if prefilled."""
    context = filled(tiny_gguf, kv_type_k="f32")
    state = context.get_state()
    cache = parse_state(state).caches[0]
    moved = cache.positions + 50
    rotation = Rotation.between(cache.positions, PLAIN, moved, PLAIN, n_rot=32, rope_type="norm")
    for keys in cache.keys:
        keys.rotate(state, rotation, head_dim=32)
    cache.write_positions(state, moved)
    context.clear()
    context.set_state(state)
    assert (context.first_position(), context.last_position()) == (50, 149)
    context.clear()
    context.decode(IDS, 50)
    expected = context.get_state()
    # RoPE is relative: every layer is the same but for roundings.
    for ours, theirs in zip(cache.keys, parse_state(expected).caches[0].keys, strict=True):
        np.testing.assert_allclose(ours.read(state), theirs.read(expected), atol=5e-3 * coarser())


def test_cells_keep_the_cache_s_order(tiny_gguf: TinyGguf) -> None:
    """After a hole is filled again, cells are not in the order of positions."""
    context = filled(tiny_gguf)
    context.remove(20, 60)
    context.decode(IDS[:40], 100)
    positions = parse_state(context.get_state()).caches[0].positions
    assert sorted(positions.tolist()) == [*range(20), *range(60, 140)]
    assert positions.tolist() != sorted(positions.tolist())


def test_sliding_window_models_have_two_caches(tiny_gguf: TinyGguf) -> None:
    """Gemma 3: the global layers with every cell, then the others with the last 64."""
    whole, sliding = parse_state(filled(tiny_gguf, "gemma3").get_state()).caches
    assert (len(whole.keys), len(sliding.keys)) == (2, 4)
    assert whole.positions.tolist() == list(range(100))
    assert sorted(sliding.positions.tolist())[-64:] == list(range(36, 100))
    assert len(sliding.positions) < 100


def test_an_empty_sequence_has_no_layers(tiny_gguf: TinyGguf) -> None:
    """A state of nothing parses to nothing."""
    context = filled(tiny_gguf)
    context.clear()
    (cache,) = parse_state(context.get_state()).caches
    assert (cache.positions.size, cache.keys) == (0, ())


@pytest.mark.parametrize("architecture", ["qwen2vl", "deepseek2", "mamba"])
def test_other_layouts_are_refused(tiny_gguf: TinyGguf, architecture: str) -> None:
    """M-RoPE has longer cells, MLA no values, a recurrent state no keys."""
    with pytest.raises(SnapshotMismatchError, match="prefill"):
        parse_state(filled(tiny_gguf, architecture).get_state())


def test_rows_of_another_head_dim_are_refused(tiny_gguf: TinyGguf) -> None:
    """32 values are no heads of 24."""
    state = filled(tiny_gguf).get_state()
    cache = parse_state(state).caches[0]
    rotation = Rotation.between(
        cache.positions, PLAIN, cache.positions, PLAIN, n_rot=24, rope_type="norm"
    )
    with pytest.raises(SnapshotMismatchError, match="head_dim 24"):
        cache.keys[0].rotate(state, rotation, head_dim=24)


# Damage


@pytest.fixture(scope="module")
def states(tiny_gguf: TinyGguf) -> list[NDArray[np.uint8]]:
    """One state of each layout."""
    return [
        filled(tiny_gguf).get_state(),
        filled(tiny_gguf, flash_attention="off").get_state(),
        filled(tiny_gguf, "gemma3").get_state(),
    ]


@given(st.data())
def test_cut_off_states(states: list[NDArray[np.uint8]], data: st.DataObject) -> None:
    """A state cut at any byte, or with bytes behind it, is refused.

    A sliding-window state cut between its two caches is a whole state of one cache.
    """
    state = data.draw(st.sampled_from(states))
    if data.draw(st.booleans()):
        n = data.draw(st.integers(0, state.size - 1))
        second = parse_state(state).caches[-1].positions_offset - 8
        if len(parse_state(state).caches) == 2 and n == second:
            return
        damaged = state[:n]
    else:
        extra = data.draw(st.binary(min_size=1, max_size=64))
        damaged = np.concatenate([state, np.frombuffer(extra, np.uint8)])
        if len(parse_state(state).caches) == 1 and extra == b"\1\0\0\0\0\0\0\0":
            return  # an empty second cache
    with pytest.raises(SnapshotMismatchError):
        parse_state(damaged)


@settings(max_examples=300)
@given(st.data())
def test_flipped_bytes(states: list[NDArray[np.uint8]], data: st.DataObject) -> None:
    """Bytes changed anywhere in the headers: refused, or another reading; never another error."""
    damaged = data.draw(st.sampled_from(states)).copy()
    (first, *_) = parse_state(damaged).caches
    headers = st.integers(0, first.keys[0].offset + 4)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(headers)] = data.draw(st.integers(0, 255))
    try:
        for cache in parse_state(damaged).caches:
            for keys in cache.keys:
                assert keys.offset + keys.n_cells * keys.row_bytes <= damaged.size
    except SnapshotMismatchError:
        pass


@pytest.mark.parametrize(
    "state",
    [
        np.zeros(0, np.uint8),
        np.zeros(1000, np.uint8),
        np.full(1000, 255, np.uint8),
        np.zeros(1000, np.float32),
        np.zeros((10, 10), np.uint8),
        np.zeros(1000, np.uint8)[::2],
    ],
)
def test_what_is_no_state(state: Any) -> None:
    """Nothing, zeros, ones, other types and shapes."""
    with pytest.raises(SnapshotMismatchError):
        parse_state(state)
