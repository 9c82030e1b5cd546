"""Composite cells in llama.cpp, against attention computed in numpy; rows moved as bytes."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx._native import Context, ContextParams, Model
from longctx.cache.compress import WORKING_BYTES, Choice, Composite, n_workers, thin_state
from longctx.cache.state import parse_state
from longctx.errors import SnapshotMismatchError
from longctx.model_info import ModelInfo
from longctx.rope import RopeConfig
from tests.cache.compress.full_attention import FullAttention
from tests.conftest import TinyGguf
from tests.support.thorough import quick, thorough

N, KEPT, HEADS, DIM = 120, 50, 2, 64
IDS = [int(i) for i in np.random.default_rng(3).integers(5, 200, N + 20)]
ROPE = RopeConfig(freq_base=10_000.0, original_ctx=1024)
SHAPE = {"n_embd": 256, "n_head": 4, "n_head_kv": HEADS, "head_dim": DIM, "n_rot": DIM}


@dataclass
class Filled:
    """A context that holds IDS, with what it takes to thin it."""

    context: Context
    info: ModelInfo

    def thinned(self, chosen: list[NDArray[np.intp]], **changes: Any) -> NDArray[np.uint8]:
        """The state in which each head has its own tokens, closed up."""
        arguments = {
            "positions": np.arange(N, dtype=np.int32),
            "new_positions": np.arange(len(chosen[0]), dtype=np.int32),
            **changes,
        }
        return thin_state(
            self.context.get_state(), self.info, ROPE, arguments["positions"],
            arguments["new_positions"], lambda layer, heads, _: chosen[layer][:, heads],
        )  # fmt: skip

    def holds(self, state: NDArray[np.uint8]) -> None:
        """Put another state in its place."""
        self.context.clear()
        self.context.set_state(state)


def filled(tiny_gguf: TinyGguf, architecture: str = "llama", **params: Any) -> Filled:
    """A model of four heads, two for keys and values."""
    path = tiny_gguf(architecture, **SHAPE)
    context = Context(Model(path), ContextParams(n_ctx=256, n_outputs=256, **params))
    context.decode(IDS[:N], 0)
    return Filled(context, ModelInfo.from_gguf(path))


def random_choice(n_layer: int = 3, seed: int = 0) -> list[NDArray[np.intp]]:
    """For each layer and head other tokens; the first and the last are everybody's."""
    random = np.random.default_rng(seed)
    inner = [
        [1 + np.sort(random.permutation(N - 2)[: KEPT - 2]) for _ in range(HEADS)]
        for _ in range(n_layer)
    ]
    return [
        np.stack([np.r_[0, head, N - 1] for head in layer], axis=1).astype(np.intp)
        for layer in inner
    ]


@pytest.mark.parametrize("architecture", quick(["llama", "qwen2"], "llama"))
@pytest.mark.parametrize(
    ("params", "tolerance"),
    [
        pytest.param({"kv_type_k": "f32", "kv_type_v": "f32"}, 0.01, marks=thorough),
        ({}, 0.02),
        ({"flash_attention": "off"}, 0.02),
        ({"kv_type_k": "q8_0", "kv_type_v": "q8_0"}, 0.15),
    ],
)
def test_each_head_attends_to_its_own_tokens(
    tiny_gguf: TinyGguf, architecture: str, params: dict[str, Any], tolerance: float
) -> None:
    """The next logits are those of full attention in which every head forgot all but its own."""
    cache, chosen = filled(tiny_gguf, architecture, **params), random_choice()
    cache.holds(cache.thinned(chosen))
    cache.context.decode(IDS[N:], KEPT, outputs="all")
    got = cache.context.logits(len(IDS) - N)
    oracle = FullAttention(tiny_gguf(architecture, **SHAPE), n_head_kv=HEADS, head_dim=DIM)
    whole = oracle.read(IDS[:N], 0)
    assert np.isfinite(whole).all()
    oracle.keep(chosen, np.arange(KEPT, dtype=np.int32))
    want = oracle.read(IDS[N:], KEPT)
    np.testing.assert_allclose(got, want, atol=tolerance * np.abs(want).max())
    # The same tokens for both heads of a layer are something else, by far.
    alike = FullAttention(tiny_gguf(architecture, **SHAPE), n_head_kv=HEADS, head_dim=DIM)
    alike.read(IDS[:N], 0)
    alike.keep([each[:, [0, 0]] for each in chosen], np.arange(KEPT, dtype=np.int32))
    assert np.abs(alike.read(IDS[N:], KEPT) - want).max() > 2 * np.abs(got - want).max()


@pytest.mark.parametrize("flash_attention", ["on", "off"])
@pytest.mark.parametrize("kv_type", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_keeping_everything_in_place_changes_no_byte(
    tiny_gguf: TinyGguf, kv_type: str, flash_attention: Any
) -> None:
    """Identity is exact, whatever the type, values in rows or transposed."""
    value_type = kv_type if flash_attention == "on" else "f16"
    params = {"kv_type_k": kv_type, "kv_type_v": value_type, "flash_attention": flash_attention}
    cache = filled(tiny_gguf, **params)
    everything = [np.repeat(np.arange(N)[:, None], HEADS, axis=1)] * 3
    np.testing.assert_array_equal(cache.thinned(everything), cache.context.get_state())


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_rows_are_moved_as_bytes(tiny_gguf: TinyGguf, kv_type: str) -> None:
    """A value of a composite cell is, to the byte, that of its head's token."""
    cache, chosen = filled(tiny_gguf, kv_type_k=kv_type, kv_type_v=kv_type), random_choice()
    before, after = cache.context.get_state(), cache.thinned(chosen)
    columns = [parse_state(state).caches[0].columns[4:] for state in (before, after)]
    for layer, (old, new) in enumerate(zip(*columns, strict=True)):
        rows = old.of(before).reshape(N, HEADS, -1)
        kept = new.of(after).reshape(KEPT, HEADS, -1)
        for head in range(HEADS):
            np.testing.assert_array_equal(kept[:, head], rows[chosen[layer][:, head], head])


def test_the_same_tokens_for_all_heads_are_a_sequence_without_the_others(
    tiny_gguf: TinyGguf,
) -> None:
    """What llama.cpp makes by removing cells and shifting the rest, to rounding."""
    cache, native = filled(tiny_gguf, kv_type_k="f32"), filled(tiny_gguf, kv_type_k="f32")
    kept = np.r_[0:4, 64:N].astype(np.intp)
    cache.holds(cache.thinned([np.repeat(kept[:, None], HEADS, axis=1)] * 3))
    native.context.remove(4, 64)
    native.context.shift(64, -1, -60)
    for each in (cache, native):
        each.context.decode(IDS[N:], len(kept), outputs="all")
    got, want = (each.context.logits(len(IDS) - N).copy() for each in (cache, native))
    np.testing.assert_allclose(got, want, atol=0.02 * np.abs(want).max())


def test_cells_out_of_order(tiny_gguf: TinyGguf) -> None:
    """A hole that was filled again: tokens are meant by their positions, not by their cells."""
    cache, chosen = filled(tiny_gguf, kv_type_k="f32", kv_type_v="f32"), random_choice()
    oracle = FullAttention(tiny_gguf("llama", **SHAPE), n_head_kv=HEADS, head_dim=DIM)
    oracle.read(IDS[:N], 0)
    cache.context.remove(40, 80)
    positions = np.r_[0:40, 80:N].astype(np.int32)
    oracle.keep([np.repeat(positions[:, None], HEADS, axis=1)] * 3, positions)
    for each in (cache.context.decode, oracle.read):
        each(IDS[40:80], N)
    positions = np.r_[positions, N : N + 40].astype(np.int32)
    held = parse_state(cache.context.get_state()).caches[0].positions
    assert held.tolist() != positions.tolist() == sorted(held)
    cache.holds(cache.thinned(chosen, positions=positions))
    oracle.keep(chosen, np.arange(KEPT, dtype=np.int32))
    cache.context.decode(IDS[N:], KEPT, outputs="all")
    want = oracle.read(IDS[N:], KEPT)
    got = cache.context.logits(len(IDS) - N)
    np.testing.assert_allclose(got, want, atol=0.01 * np.abs(want).max())


def test_states_of_other_tokens_and_models_are_refused(tiny_gguf: TinyGguf) -> None:
    """More tokens than it holds, layers that the model has not, two caches."""
    cache, chosen = filled(tiny_gguf), random_choice()
    with pytest.raises(SnapshotMismatchError, match="tokens"):
        cache.thinned(chosen, positions=np.arange(N + 1, dtype=np.int32))
    cache.info = ModelInfo.from_gguf(tiny_gguf("llama", **{**SHAPE, "n_layer": 4}))
    with pytest.raises(SnapshotMismatchError, match="layers"):
        cache.thinned(chosen)
    gemma = Context(Model(tiny_gguf("gemma3")), ContextParams(n_ctx=256))
    gemma.decode(IDS[:N], 0)
    with pytest.raises(SnapshotMismatchError):
        Filled(gemma, ModelInfo.from_gguf(tiny_gguf("gemma3"))).thinned(chosen)


@pytest.mark.parametrize(
    ("n_threads", "working_bytes", "n_heads"),
    [(1, WORKING_BYTES, 7), (3, WORKING_BYTES, 16), (8, 0, 7)],
)
def test_it_takes_little_memory_besides(
    tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch, n_threads: int, working_bytes: int,
    n_heads: int,
) -> None:  # fmt: skip
    """A few heads' keys in float32 for each thread, not layers of eight; or for one thread alone,
    where more would be more memory than there shall be taken. How many of three meet at their
    most is chance: 14 heads' keys were seen, and once a little more."""
    monkeypatch.setattr("longctx.cache.compress.codec.WORKING_BYTES", working_bytes)
    n, n_kept, heads = 1500, 1000, 8
    path = tiny_gguf("llama", **{**SHAPE, "n_head": heads, "n_head_kv": heads})
    context = Context(Model(path), ContextParams(n_ctx=n))
    for begin in range(0, n, 500):
        context.decode((IDS * 11)[begin : begin + 500], begin, outputs="none")
    info, state = ModelInfo.from_gguf(path), context.get_state()
    choice = Choice(
        np.arange(n) < 4, n_kept, Composite(), first=4, shielded=np.zeros(n, dtype=np.bool_)
    )
    positions = np.arange(n, dtype=np.int32)
    tracemalloc.start()
    try:
        thinned = thin_state(
            state, info, ROPE, positions, positions[:n_kept], choice, n_threads=n_threads
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - thinned.size < n_heads * 4 * n * DIM


def test_as_many_heads_at_once_as_there_is_memory_for() -> None:
    """And always one."""
    assert n_workers(8000, 64, 3) == 3
    assert n_workers(131_072, 128, 16) == 2
    assert n_workers(1_048_576, 256, 16) == 1
    assert n_workers(0, 64, 4) == 4
