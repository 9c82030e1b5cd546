"""RopeConfig and rotate against the keys that llama.cpp caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from longctx._native import Context, Model
from longctx._native.library import lib
from longctx.cache.state import parse_state
from longctx.rope import Method, RopeConfig, rope_config, rotate, yarn_attention_factor
from tests.conftest import TinyGguf
from tests.rope.native_keys import (
    POSITIONS,
    assert_rotated,
    lone_keys,
    native_params,
    open_model,
)
from tests.support.thorough import quick

METHODS = tuple(m for m in get_args(Method) if m != "longrope")  # needs factors: test_longrope
# architecture: (pairs, n_rot, head_dim)
PLAIN = {
    "llama": ("norm", 32, 32),
    "qwen2": ("neox", 32, 32),
    "phi3": ("neox", 32, 32),
    "stablelm": ("neox", 8, 32),
    "chatglm": ("norm", 16, 32),
}


def check_method(
    path: Path,
    architecture: str,
    rope: RopeConfig,
    *,
    unscaled: Path | None = None,
    rope_type: str,
    n_rot: int,
    head_dim: int,
    layers: slice = slice(None),
) -> None:
    """Every layer's keys at each position are our rotation of those of ``unscaled`` at 0."""
    plain = RopeConfig(freq_base=1e4, original_ctx=1024)
    with_context = Context(Model(unscaled or path), native_params(plain))
    unrotated = lone_keys(with_context, 0)[layers]
    context = Context(open_model(path, architecture, rope), native_params(rope))
    for position in POSITIONS:
        for before, native in zip(unrotated, lone_keys(context, position)[layers], strict=True):
            assert_rotated(
                before,
                native,
                position,
                rope,
                rope_type=rope_type,
                n_rot=n_rot,
                head_dim=head_dim,
            )


@pytest.mark.parametrize("scale", [2.0, 5.0])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", PLAIN)
def test_tiny(tiny_gguf: TinyGguf, architecture: str, method: Method, scale: float) -> None:
    """NORM and NEOX, whole and partial rotary, each method: every layer."""
    rope_type, n_rot, head_dim = PLAIN[architecture]
    rope = rope_config(method, scale=scale, n_rot=n_rot, base=10_000.0, original_ctx=1024)
    path = tiny_gguf(architecture)
    check_method(path, architecture, rope, rope_type=rope_type, n_rot=n_rot, head_dim=head_dim)


@pytest.mark.parametrize("method", quick(METHODS, "ntk", "yarn"))
def test_real_model(demo_gguf: Path, method: Method) -> None:
    """SmolLM2, all thirty layers, at four times its window."""
    rope = rope_config(method, scale=4.0, n_rot=64, base=100_000.0, original_ctx=8192)
    check_method(demo_gguf, "llama", rope, rope_type="norm", n_rot=64, head_dim=64)


@pytest.mark.parametrize("method", METHODS)
def test_layers_without_rope(tiny_gguf: TinyGguf, method: Method) -> None:
    """SmolLM3 rotates three layers of four; the fourth's keys are the same at every position."""
    rope = rope_config(method, scale=2.0, n_rot=32, base=10_000.0, original_ctx=1024)
    path = tiny_gguf("smollm3")
    check_method(path, "smollm3", rope, rope_type="norm", n_rot=32, head_dim=32, layers=slice(0, 3))
    context = Context(open_model(path, "smollm3", rope), native_params(rope))
    np.testing.assert_array_equal(lone_keys(context, 0)[3], lone_keys(context, 5000)[3])


@pytest.mark.parametrize("method", METHODS)
def test_sliding_window_layers_keep_their_base(tiny_gguf: TinyGguf, method: Method) -> None:
    """Gemma 3: global layers obey us; the others rotate at their own base, whatever we set.

    Trap 4. The factor that cancels YaRN's temperature for NTK-by-parts cancels nothing in
    these layers, which have none, and so shrinks their keys.
    """
    rope = rope_config(method, scale=2.0, n_rot=32, base=1e6, original_ctx=1024)
    shrunk = 1 / yarn_attention_factor(2.0) if method == "ntk-by-parts" else 1.0
    plain = RopeConfig(freq_base=10_000.0, original_ctx=1024)
    own = RopeConfig(freq_base=10_000.0, original_ctx=1024, attention_factor=shrunk)
    path, shape = tiny_gguf("gemma3"), {"rope_type": "neox", "n_rot": 32, "head_dim": 32}
    check_method(path, "gemma3", rope, layers=slice(0, 2), **shape)
    unrotated = lone_keys(Context(Model(path), native_params(plain)), 0)
    context = Context(open_model(path, "gemma3", rope), native_params(rope))
    for position in POSITIONS:
        for before, native in zip(unrotated[2:], lone_keys(context, position)[2:], strict=True):
            assert_rotated(before, native, position, own, **shape)


FACTORS = np.geomspace(1, 8, 16).tolist()
# What the file says of itself, and the same as rope_config's arguments.
SCALED_FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": (
        {"rope_scaling": {"type": "linear", "factor": 4.0}},
        {"trained_freq_scale": 0.25},
    ),
    "yarn": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_context_length": 256}},
        {"trained_freq_scale": 0.25, "trained_yarn": True, "original_ctx": 256},
    ),
    "yarn with its own factor": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "attn_factor": 0.8}},
        {"trained_freq_scale": 0.25, "trained_yarn": True, "trained_attention_factor": 0.8},
    ),
    "rope_freqs": ({"rope_freqs": FACTORS}, {"frequency_factors": FACTORS}),
    "longrope": (
        {
            "rope_scaling": {
                "type": "longrope",
                "original_context_length": 128,
                "attn_factor": 1.19,
            },
            "rope_short": [1.0] * 16,
            "rope_long": FACTORS,
        },
        {"frequency_factors": FACTORS, "trained_attention_factor": 1.19, "original_ctx": 128},
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scaled", SCALED_FILES)
def test_scaled_files(tiny_gguf: TinyGguf, scaled: str, method: Method) -> None:
    """A file's own scaling stays under ours.

    Trap: "a GGUF with rope.scaling.* is already scaled"; rope_freqs.weight divides on top.
    """
    changes, arguments = SCALED_FILES[scaled]
    shape = {"n_rot": 32, "base": 10_000.0, "original_ctx": 1024, **arguments}
    rope = rope_config(method, scale=2.0, **shape)
    path = tiny_gguf("llama", **changes)
    check_method(
        path,
        "llama",
        rope,
        unscaled=tiny_gguf("llama"),
        rope_type="norm",
        n_rot=32,
        head_dim=32,
    )


def test_rope_freqs_of_2_are_linear_2(tiny_gguf: TinyGguf) -> None:
    """λ = 2 everywhere gives the keys of linear s = 2."""
    linear = rope_config("linear", scale=2.0, n_rot=32, base=10_000.0, original_ctx=1024)
    plain = RopeConfig(freq_base=10_000.0, original_ctx=1024)
    by_us = lone_keys(Context(Model(tiny_gguf("llama")), native_params(linear)), 5000)
    path = tiny_gguf("llama", rope_freqs=[2.0] * 16)
    by_file = lone_keys(Context(Model(path), native_params(plain)), 5000)
    np.testing.assert_allclose(by_us, by_file, atol=1e-5)


def test_first_layer_of_a_text(demo_gguf: Path) -> None:
    """Many tokens in one batch: layer 0's keys are ours, cell by cell, in order."""
    rope = rope_config("yarn", scale=4.0, n_rot=64, base=100_000.0, original_ctx=8192)
    model = Model(demo_gguf)
    ids = model.encode("The window of a model is what it was trained to see at once.")
    context = Context(model, native_params(rope))
    context.decode(ids, 3000)
    state = context.get_state()
    cache = parse_state(state).caches[0]
    assert cache.positions.tolist() == list(range(3000, 3000 + len(ids)))
    alone = Context(model, native_params(RopeConfig(freq_base=1e5, original_ctx=8192)))
    unrotated = []
    for token in ids:
        alone.clear()
        alone.decode([token], 0)
        row = alone.get_state()
        unrotated.append(parse_state(row).caches[0].keys[0].read(row)[0])
    ours = rotate(
        np.stack(unrotated).reshape(len(ids), -1, 64),
        cache.positions,
        rope.frequencies(64),
        rope_type="norm",
        attention_factor=rope.attention_factor,
    )
    native = cache.keys[0].read(state).reshape(ours.shape)
    np.testing.assert_allclose(native, ours, atol=2e-3 * np.abs(ours).max())


# Traps of DESIGN, section 5


def test_yarn_without_a_scale_is_no_scaling(tiny_gguf: TinyGguf) -> None:
    """Trap 1: the type alone changes not one bit, so our params always carry the scale."""
    model = Model(tiny_gguf("llama"))
    plain = RopeConfig(freq_base=10_000.0, original_ctx=1024)
    rope = rope_config("yarn", scale=4.0, n_rot=32, base=10_000.0, original_ctx=1024)
    untouched = lone_keys(Context(model, native_params(plain)), 5000)
    alone = lone_keys(Context(model, native_params(plain, rope_scaling="yarn")), 5000)
    ours = lone_keys(Context(model, native_params(rope)), 5000)
    np.testing.assert_array_equal(alone, untouched)
    assert np.abs(ours - untouched).max() > 0.1


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_yarn_attn_factor(
    tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """Trap 2: ignored under YaRN, a multiplier without it, so we leave llama.cpp's default."""
    model = Model(tiny_gguf("llama"))
    plain = RopeConfig(freq_base=10_000.0, original_ctx=1024)
    rope = rope_config("yarn", scale=4.0, n_rot=32, base=10_000.0, original_ctx=1024)
    before = [lone_keys(Context(model, native_params(each)), 0) for each in (plain, rope)]
    default = lib.llama_context_default_params

    def with_factor() -> Any:
        params = default()
        params.yarn_attn_factor = factor
        return params

    monkeypatch.setattr(lib, "llama_context_default_params", with_factor)
    after = [lone_keys(Context(model, native_params(each)), 0) for each in (plain, rope)]
    np.testing.assert_allclose(after[0], factor * before[0], atol=1e-6)
    np.testing.assert_array_equal(after[1], before[1])
    np.testing.assert_allclose(before[1], yarn_attention_factor(4.0) * before[0], rtol=1e-5)
