"""Keys out of llama.cpp, in a form that our rotation can be compared with.

A token decoded alone into an empty cache attends to nothing but itself, so its keys are the
model's unrotated ones, rotated by its position: in every layer, at any position, for the price
of one token. At position 0 they are not rotated at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx._native import Context, ContextParams, Model
from longctx.backends import context_params
from longctx.cache.state import parse_state
from longctx.rope import RopeConfig, rotate

TOKENS = (40, 41, 77, 100)
POSITIONS = (1, 7, 100, 1000, 5000, 12_000)
Keys = NDArray[np.float32]


def native_params(rope: RopeConfig, **changes: object) -> ContextParams:
    """What the backend passes for ``rope``, with keys and values in float32."""
    params = context_params(rope, n_ctx=256, kv_type_k="f32", kv_type_v="f32")
    return replace(params, **changes)  # type: ignore[arg-type]  # the tests name real fields


def open_model(path: Path, architecture: str, rope: RopeConfig) -> Model:
    """Load a model; NTK-by-parts needs its metadata overridden."""
    overrides: Mapping[str, float] = {}
    if rope.method == "ntk-by-parts":
        key = f"{architecture}.rope.scaling.attn_factor"
        overrides = {key: rope.attention_factor / rope.yarn_attention_factor}
    return Model(path, overrides=overrides)


def lone_keys(context: Context, position: int) -> Keys:
    """float32[n_layer, n_token, row_values]: each of TOKENS alone at ``position``.

    Layers stand in the state's order: sliding-window layers after the others.
    """
    rows = []
    for token in TOKENS:
        context.clear()
        context.decode([token], position)
        state = context.get_state()
        layers = [keys for cache in parse_state(state).caches for keys in cache.keys]
        rows.append(np.concatenate([keys.read(state) for keys in layers]))
    return np.stack(rows, axis=1)


def assert_rotated(
    unrotated: Keys,
    native: Keys,
    position: int,
    rope: RopeConfig,
    *,
    rope_type: str,
    n_rot: int,
    head_dim: int,
) -> None:
    """``native`` is our rotation of ``unrotated`` [n, row_values], to float32's last digits.

    llama.cpp multiplies its angle up in float32, p·θ_step^i, so pair i may be off by some
    (i + 2) roundings of its unscaled angle; ours is exact.
    """
    n = len(unrotated)
    heads = unrotated.reshape(n, -1, head_dim)
    frequencies = rope.frequencies(n_rot)
    ours = rotate(
        heads,
        np.full(n, position),
        frequencies,
        rope_type=rope_type,
        attention_factor=rope.attention_factor,
    )
    error = np.abs(ours - native.reshape(heads.shape))
    pair = np.arange(n_rot // 2)
    angle_error = position * frequencies * (pair + 2) * 2.0**-23
    angle_error = np.repeat(angle_error, 2) if rope_type == "norm" else np.tile(angle_error, 2)
    allowed = np.full(head_dim, 3e-6)
    allowed[:n_rot] += angle_error
    size = np.abs(heads).max(axis=-1, keepdims=True) * rope.attention_factor * np.sqrt(2)
    worst = float((error / (allowed * size)).max())
    assert worst < 1, f"{rope.method} at position {position}: {worst:.1f} times the error allowed"
