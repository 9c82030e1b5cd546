"""Llama and Gemma 3 (with layers that slide) in torch, as llama.cpp computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    architecture: str = "llama"


@dataclass(frozen=True)
class GemmaShape(Shape):
    """Sizes of a Gemma 3: of each ``sliding_pattern`` layers the last sees the whole window, the
    others the last ``sliding_window`` tokens, under a RoPE of their own."""

    architecture: str = "gemma3"
    sliding_window: int = 64
    sliding_pattern: int = 2
    rope_freq_base_swa: float = 10_000.0

    def slides(self, layer: int) -> bool:
        """Whether a layer slides."""
        return layer % self.sliding_pattern < self.sliding_pattern - 1


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
        turns = rotations(self.shape, ids.shape[1]).to(ids.device)
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


class Gemma(nn.Module):
    """Token ids [batch, n] to logits [batch, n, n_vocab]; input and output embeddings are one."""

    def __init__(self, shape: GemmaShape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.blk = nn.ModuleList(GemmaBlock(shape) for _ in range(shape.n_layer))
        self.output_norm = nn.RMSNorm(shape.n_embd, eps=shape.norm_eps)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the token after each."""
        n, shape = ids.shape[1], self.shape
        at = torch.arange(n, device=ids.device)
        distance = at[:, None] - at
        x = self.token_embd(ids) * shape.n_embd**0.5
        for layer, block in enumerate(self.blk):
            slides = shape.slides(layer)
            base = shape.rope_freq_base_swa if slides else shape.rope_freq_base
            seen = (distance >= 0) & (distance < (shape.sliding_window if slides else n))
            x = block(x, turns_of(base, shape.head_dim, n).to(ids.device), seen)
        return F.linear(self.output_norm(x), self.token_embd.weight)


class GemmaBlock(nn.Module):
    """Attention and GeGLU, each between two norms and added to its input."""

    def __init__(self, shape: GemmaShape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
        width, eps = shape.n_embd, shape.norm_eps
        self.attn_norm = nn.RMSNorm(width, eps=eps)
        self.attn_q = nn.Linear(width, n_q, bias=False)
        self.attn_k = nn.Linear(width, n_kv, bias=False)
        self.attn_v = nn.Linear(width, n_kv, bias=False)
        self.attn_q_norm = nn.RMSNorm(shape.head_dim, eps=eps)
        self.attn_k_norm = nn.RMSNorm(shape.head_dim, eps=eps)
        self.attn_output = nn.Linear(n_q, width, bias=False)
        self.post_attention_norm = nn.RMSNorm(width, eps=eps)
        self.ffn_norm = nn.RMSNorm(width, eps=eps)
        self.ffn_gate = nn.Linear(width, shape.n_ff, bias=False)
        self.ffn_up = nn.Linear(width, shape.n_ff, bias=False)
        self.ffn_down = nn.Linear(shape.n_ff, width, bias=False)
        self.post_ffw_norm = nn.RMSNorm(width, eps=eps)
        # The stream is sqrt(n_embd) times an embedding; what is added begins as small a part of it
        # as in a Llama.
        for norm in (self.post_attention_norm, self.post_ffw_norm):
            nn.init.constant_(norm.weight, 0.25 / (2 * shape.n_layer) ** 0.5)

    def forward(self, x: Tensor, turns: Tensor, seen: Tensor) -> Tensor:
        """The stream [batch, n, n_embd] after this block; ``seen`` is bool[n, n]."""
        x = x + self.post_attention_norm(self._attend(self.attn_norm(x), turns, seen))
        y = self.ffn_norm(x)
        gated = F.gelu(self.ffn_gate(y), approximate="tanh") * self.ffn_up(y)
        added: Tensor = self.post_ffw_norm(self.ffn_down(gated))
        return x + added

    def _attend(self, x: Tensor, turns: Tensor, seen: Tensor) -> Tensor:
        q, k, v = (
            linear(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for linear in (self.attn_q, self.attn_k, self.attn_v)
        )
        q = rotate_halves(self.attn_q_norm(q), turns)
        k = rotate_halves(self.attn_k_norm(k), turns)
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
        return self.attn_output(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # torch's modules return Any


def model_of(shape: Shape) -> Llama | Gemma:
    """An untrained model of this shape."""
    return Gemma(shape) if isinstance(shape, GemmaShape) else Llama(shape)


def shape_of(fields: dict[str, Any]) -> Shape:
    """The shape whose fields a checkpoint has."""
    return GemmaShape(**fields) if fields.get("architecture") == "gemma3" else Shape(**fields)


def rotations(shape: Shape, n: int) -> Tensor:
    """RoPE's turns of positions 0 to n - 1: complex64[n, head_dim / 2]."""
    return turns_of(shape.rope_freq_base, shape.head_dim, n)


def turns_of(base: float, head_dim: int, n: int) -> Tensor:
    """Those of a base."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    angles = torch.arange(n)[:, None] * base**-exponents
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate_halves(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_dim / 2) of [batch, head, n, head_dim]: NEOX order."""
    pairs = torch.stack(x.chunk(2, dim=-1), dim=-1).contiguous()
    turned = torch.view_as_real(torch.view_as_complex(pairs) * turns)
    return torch.cat(turned.unbind(-1), dim=-1)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (2i, 2i + 1) of [batch, head, n, head_dim]: llama.cpp's NORM order."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2)
