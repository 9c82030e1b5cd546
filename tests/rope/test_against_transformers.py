"""Our frequencies against transformers' own functions, which are run in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, modeling_rope_utils

from longctx.rope import (
    Scaled,
    TrainedRope,
    dynamic_ntk,
    linear,
    llama3,
    longrope,
    yarn,
)

GRID = [
    (n_rot, base, scale, original_ctx)
    for n_rot in (32, 64, 80, 128)
    for base in (10_000.0, 100_000.0, 500_000.0, 5_000_000.0)
    for scale in (1.0, 1.5, 2.0, 8.0, 40.0)
    for original_ctx in (2048, 8192, 131_072)
]


def theirs(
    monkeypatch: pytest.MonkeyPatch,
    rope: TrainedRope,
    parameters: dict[str, Any],
    *,
    seq_len: int | None = None,
    max_ctx: int | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Frequencies and attention factor as transformers computes them."""
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch, "float32", torch.float64)
    config = LlamaConfig(
        head_dim=rope.n_rot,
        hidden_size=4 * rope.n_rot,
        num_attention_heads=4,
        max_position_embeddings=max_ctx or rope.original_ctx,
        rope_parameters={"rope_theta": rope.base, **parameters},
    )
    function = modeling_rope_utils.ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
    frequencies, factor = function(config, torch.device("cpu"), seq_len=seq_len)
    return frequencies.numpy(), float(factor)


def assert_same(ours: Scaled, other: tuple[NDArray[np.float64], float]) -> None:
    """Relative error below 1e-6 in each frequency and in the attention factor."""
    np.testing.assert_allclose(ours.frequencies, other[0], rtol=1e-6)
    assert ours.attention_factor == pytest.approx(other[1], rel=1e-6)


def test_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Position Interpolation over the grid."""
    for n_rot, base, scale, original_ctx in GRID:
        rope = TrainedRope(n_rot, base, original_ctx)
        parameters = {"rope_type": "linear", "factor": scale}
        assert_same(linear(rope, scale), theirs(monkeypatch, rope, parameters))


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0])
def test_dynamic(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Dynamic NTK at several lengths of text, shorter than the window included."""
    for n_rot, base, scale, original_ctx in GRID:
        rope = TrainedRope(n_rot, base, original_ctx)
        parameters = {"rope_type": "dynamic", "factor": factor}
        for n_tokens in (original_ctx // 2, int(scale * original_ctx)):
            assert_same(
                dynamic_ntk(rope, n_tokens / original_ctx, factor=factor),
                theirs(monkeypatch, rope, parameters, seq_len=n_tokens),
            )


@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize(("beta_fast", "beta_slow"), [(32.0, 1.0), (16.0, 2.0)])
def test_yarn(
    monkeypatch: pytest.MonkeyPatch, truncate: bool, beta_fast: float, beta_slow: float
) -> None:
    """YaRN with the ramp's ends rounded and not."""
    for n_rot, base, scale, original_ctx in GRID:
        rope = TrainedRope(n_rot, base, original_ctx)
        parameters = {
            "rope_type": "yarn",
            "factor": scale,
            "original_max_position_embeddings": original_ctx,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "truncate": truncate,
        }
        ours = yarn(rope, scale, beta_fast=beta_fast, beta_slow=beta_slow, truncate=truncate)
        assert_same(ours, theirs(monkeypatch, rope, parameters))


@pytest.mark.parametrize(("low", "high"), [(1.0, 4.0), (2.0, 16.0)])
def test_llama3(monkeypatch: pytest.MonkeyPatch, low: float, high: float) -> None:
    """Llama 3.1's ramp."""
    for n_rot, base, scale, original_ctx in GRID:
        rope = TrainedRope(n_rot, base, original_ctx)
        parameters = {
            "rope_type": "llama3",
            "factor": scale,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original_ctx,
        }
        ours = llama3(rope, scale, low_freq_factor=low, high_freq_factor=high)
        assert_same(ours, theirs(monkeypatch, rope, parameters))


def test_longrope(monkeypatch: pytest.MonkeyPatch) -> None:
    """LongRoPE: the short vector inside the trained window, the long one past it."""
    for n_rot, base, scale, original_ctx in GRID:
        rope = TrainedRope(n_rot, base, original_ctx)
        short = np.linspace(1, 1.3, n_rot // 2)
        long = np.linspace(1, scale + 1, n_rot // 2)
        parameters = {
            "rope_type": "longrope",
            "factor": scale,
            "short_factor": short.tolist(),
            "long_factor": long.tolist(),
            "original_max_position_embeddings": original_ctx,
        }
        for n_tokens, factors in ((original_ctx, short), (original_ctx + 1, long)):
            other = theirs(
                monkeypatch, rope, parameters, seq_len=n_tokens, max_ctx=int(scale * original_ctx)
            )
            assert_same(longrope(rope, scale, factors), other)
