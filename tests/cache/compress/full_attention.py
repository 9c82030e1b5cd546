"""A Llama in numpy, float64 and without a cache trick: the oracle of composite cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from longctx.rope import rotate

Floats = NDArray[np.floating]


class FullAttention:
    """Every head of every layer attends to what it is told it may see, wherever that stands.

    Args:
        path: a tiny model of this repository's, ``llama`` (NORM) or ``qwen2`` (NEOX, biases).
        n_head_kv: heads of keys and values.
        head_dim: dimensions of a head, all of which rotate.
    """

    def __init__(self, path: Path, *, n_head_kv: int, head_dim: int) -> None:
        reader = gguf.GGUFReader(path)
        self._weights = {
            tensor.name: np.array(tensor.data, dtype=np.float64) for tensor in reader.tensors
        }
        self.n_layer = sum(name.endswith("attn_q.weight") for name in self._weights)
        self._neox = "blk.0.attn_q.bias" in self._weights
        self._n_head_kv, self._head_dim = n_head_kv, head_dim
        self._theta = 10_000.0 ** (-np.arange(0, head_dim, 2) / head_dim)
        self.keys: list[Floats] = [np.empty((0, n_head_kv, head_dim))] * self.n_layer
        """Of each layer, un-rotated: float64[n, n_head_kv, head_dim]."""
        self.values = list(self.keys)
        self.at = np.empty(0, dtype=np.int64)
        """Where the cells stand."""

    def keep(self, chosen: Sequence[NDArray[np.intp]], positions: NDArray[np.int32]) -> None:
        """Let each head of each layer forget all tokens but its own, and move those."""
        for layer, kept in enumerate(chosen):
            for rows in (self.keys, self.values):
                rows[layer] = np.take_along_axis(rows[layer], kept[:, :, None], axis=0)
        self.at = positions.astype(np.int64)

    def read(self, ids: Sequence[int], first: int) -> Floats:
        """Append tokens at positions from ``first`` on: the logits of each, float64[n, n_vocab]."""
        w, n = self._weights, len(ids)
        self.at = np.r_[self.at, first : first + n]
        x = w["token_embd.weight"][list(ids)]
        for i in range(self.n_layer):
            h = _norm(x, w[f"blk.{i}.attn_norm.weight"])
            q, k, v = (self._project(h, f"blk.{i}.attn_{name}") for name in "qkv")
            self.keys[i] = np.concatenate([self.keys[i], k])
            self.values[i] = np.concatenate([self.values[i], v])
            x = x + self._attend(i, q, n) @ w[f"blk.{i}.attn_output.weight"].T
            h = _norm(x, w[f"blk.{i}.ffn_norm.weight"])
            gate, up = (h @ w[f"blk.{i}.ffn_{name}.weight"].T for name in ("gate", "up"))
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"blk.{i}.ffn_down.weight"].T
        return _norm(x, w["output_norm.weight"]) @ w["output.weight"].T

    def _project(self, h: Floats, name: str) -> Floats:
        out = h @ self._weights[f"{name}.weight"].T + self._weights.get(f"{name}.bias", 0.0)
        return out.reshape(len(h), -1, self._head_dim)

    def _turn(self, rows: Floats, positions: NDArray[np.int64]) -> Floats:
        kind = "neox" if self._neox else "norm"
        return rotate(rows.astype(np.float32), positions, self._theta, rope_type=kind)

    def _attend(self, layer: int, q: Floats, n: int) -> Floats:
        k, v = self._turn(self.keys[layer], self.at), self.values[layer]
        q = self._turn(q, self.at[-n:])
        of = q.shape[1] // self._n_head_kv
        k, v = np.repeat(k, of, axis=1), np.repeat(v, of, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(self._head_dim)
        scores[:, self.at[None, :] > self.at[-n:, None]] = -np.inf
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        return np.einsum("hqk,khd->qhd", weights, v).reshape(n, -1)


def _norm(x: Floats, weight: Floats) -> Floats:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * weight
