"""The Llama architecture in torch, as llama.cpp computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; lengths in tokens."""

    n_vocab: int = 1024
    n_ctx: int = 512
    n_embd: int = 160
    n_layer: int = 4
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    n_ff: int = 416
    rope_freq_base: float = 10_000.0
    norm_eps: float = 1e-5


class Llama(nn.Module):
    """Token ids [batch, n] to logits [batch, n, n_vocab]; input and output embeddings are one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.output_norm = nn.RMSNorm(shape.n_embd, eps=shape.norm_eps)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                ends_block = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * shape.n_layer) ** (ends_block / 2))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the token after each."""
        turns = rotations(self.shape, ids.shape[1])
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, turns)
        return F.linear(self.output_norm(x), self.token_embd.weight)


class Block(nn.Module):
    """Attention and SwiGLU, each on the norm of its input and added to it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
        self.attn_norm = nn.RMSNorm(shape.n_embd, eps=shape.norm_eps)
        self.attn_q = nn.Linear(shape.n_embd, n_q, bias=False)
        self.attn_k = nn.Linear(shape.n_embd, n_kv, bias=False)
        self.attn_v = nn.Linear(shape.n_embd, n_kv, bias=False)
        self.attn_output = nn.Linear(n_q, shape.n_embd, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.n_embd, eps=shape.norm_eps)
        self.ffn_gate = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """The stream [batch, n, n_embd] after this block."""
        x = x + self.attn_output(self._attend(self.attn_norm(x), turns))
        y = self.ffn_norm(x)
        added: Tensor = self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return x + added

    def _attend(self, x: Tensor, turns: Tensor) -> Tensor:
        q, k, v = (
            linear(x).unflatten(-1, (-1, self.shape.head_dim)).transpose(1, 2)
            for linear in (self.attn_q, self.attn_k, self.attn_v)
        )
        heads = F.scaled_dot_product_attention(
            rotate(q, turns), rotate(k, turns), v, is_causal=True, enable_gqa=True
        )
        return heads.transpose(1, 2).flatten(2)


def rotations(shape: Shape, n: int) -> Tensor:
    """RoPE's turns of positions 0 to n - 1: complex64[n, head_dim / 2]."""
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim
    angles = torch.arange(n)[:, None] * shape.rope_freq_base**-exponents
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (2i, 2i + 1) of [batch, head, n, head_dim]: llama.cpp's NORM order."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2)
