"""RoPE and attention in torch, as our llama.cpp backend runs them.

Frequencies and temperature are a :class:`longctx.rope.RopeConfig`'s. Under Self-Extend cached keys
move as the text grows; here each block of queries sees the keys turned to where they stand by then,
which is the same rotation (:mod:`longctx.rope.rotate`). Sequences lie one behind the other, without
padding, and all their blocks are one call of FlashAttention where there is a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

from longctx.errors import UnsupportedModelError
from longctx.rope import RopeConfig

ATTENTION = "longctx_views"
"""The name under which transformers knows :func:`attend`."""

_ROUNDING = 0.03  # of bfloat16, in a sum of some hundred products, relative to the largest


@dataclass(frozen=True)
class Turned:
    """The keys that blocks see, block by block: which one, and what turns it to where it is seen.

    ``index`` is int64[keys], ``cos`` and ``sin`` are float32[keys, 1, n_rot / 2].
    """

    index: Tensor
    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class Blocks:
    """Blocks of queries, one behind the other, and as many blocks of keys, one for each.

    The last query of a block stands at its last key, and sees all keys of the block. ``queries``
    and ``keys`` are int32[blocks + 1] on the model's device, where each begins, and their lengths
    are kept beside them. ``turned`` is None where the keys are the tokens' own, as they stand.
    """

    queries: Tensor
    keys: Tensor
    n_queries: tuple[int, ...]
    n_keys: tuple[int, ...]
    turned: Turned | None


Way: TypeAlias = Callable[[Tensor, Tensor, Tensor, Blocks, float], Tensor]
"""Attention of queries [n, n_head, d] over keys and values [keys, n_head_kv, d], by blocks."""


def set_rope(model: nn.Module, rope: RopeConfig, n_rot: int) -> Tensor:
    """Give a model the RoPE of a window.

    Args:
        model: of transformers, with one rotary embedding for all layers.
        rope: what llama.cpp runs in that window.
        n_rot: dimensions of a head that rotate.

    Returns:
        The frequencies that it runs now, float32[n_rot / 2].

    Raises:
        UnsupportedModelError: its rotary embedding is of another form.
    """
    rotary = [module for name, module in model.named_modules() if name.endswith("rotary_emb")]
    inv_freq = torch.from_numpy(rope.frequencies(n_rot)).float()
    had = getattr(rotary[0], "inv_freq", None) if len(rotary) == 1 else None
    if not isinstance(had, Tensor) or had.shape != inv_freq.shape:
        raise UnsupportedModelError(
            f"{type(model).__name__} of transformers has no single RoPE of {n_rot} dimensions, "
            "which finetune could set; take another model"
        )
    with torch.no_grad():
        had.copy_(inv_freq)
    rotary[0].attention_scaling = rope.attention_factor
    return had


def attend(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    scaling: float,
    blocks: Blocks,
    **_others: Any,
) -> tuple[Tensor, None]:
    """Causal attention of packed sequences, each block of queries over its block of keys.

    Shapes are transformers': query [1, n_head, n, d], key and value [1, n_head_kv, n, d], rotated
    where each token stands itself.
    """
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    if blocks.turned is not None:
        k = _turn(k.index_select(0, blocks.turned.index), blocks.turned)
        v = v.index_select(0, blocks.turned.index)
    # value comes out of a projection, in the type that autocast runs; rotated q and k do not.
    q, k = q.to(v.dtype), k.to(v.dtype)
    way: Way = one_by_one
    if q.is_cuda and q.dtype != torch.float32:
        way = fast_way(q.shape[1], *k.shape[1:])
    return way(q, k, v, blocks, scaling)[None], None


def one_by_one(q: Tensor, k: Tensor, v: Tensor, blocks: Blocks, scaling: float) -> Tensor:
    """Attention of the blocks, one after the other: [queries, n_head, d], on any device."""
    seen = []
    lengths = (blocks.n_queries, blocks.n_keys, blocks.n_keys)
    each = (
        torch.split(whole, list(parts)) for whole, parts in zip((q, k, v), lengths, strict=True)
    )
    for block in zip(*each, strict=True):
        queries, keys, values = (tensor.transpose(0, 1)[None] for tensor in block)
        is_whole = queries.shape[2] == keys.shape[2]
        found = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=None if is_whole else _causal(queries.shape[2], keys.shape[2], q.device),
            is_causal=is_whole,
            scale=scaling,
            enable_gqa=queries.shape[1] != keys.shape[1],
        )
        seen.append(found[0].transpose(0, 1))
    return torch.cat(seen)


def _flash(q: Tensor, k: Tensor, v: Tensor, blocks: Blocks, scaling: float) -> Tensor:
    found: Tensor = torch.ops.aten._flash_attention_forward(
        q,
        k,
        v,
        blocks.queries,
        blocks.keys,
        max(blocks.n_queries),
        max(blocks.n_keys),
        0.0,  # dropout
        True,  # causal, as seen from the last key of each block
        False,
        scale=scaling,
    )[0]
    return found


def _flash_of_all_heads(q: Tensor, k: Tensor, v: Tensor, blocks: Blocks, scaling: float) -> Tensor:
    """The same for a kernel that wants as many heads of keys as of queries."""
    times = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(times, dim=1), v.repeat_interleave(times, dim=1)
    return _flash(q, k, v, blocks, scaling)


@lru_cache
def fast_way(n_head: int, n_head_kv: int, head_dim: int) -> Way:
    """The first way in which a GPU computes what attention one by one does, with gradients.

    The kernel is an operator below torch's public ones, and what builds leave out differs.
    """
    ways = (_flash, _flash_of_all_heads)
    return next((way for way in ways if _is_right(way, n_head, n_head_kv, head_dim)), one_by_one)


def _is_right(way: Way, n_head: int, n_head_kv: int, head_dim: int) -> bool:
    device = torch.device("cuda")
    n_queries, n_keys = (70, 33, 128), (70, 200, 128)
    generator = torch.Generator(device).manual_seed(0)

    def drawn(n: int, n_heads: int) -> Tensor:
        return torch.randn(
            n, n_heads, head_dim, generator=generator, device=device, dtype=torch.bfloat16
        )

    blocks = Blocks(
        begins(n_queries).to(device), begins(n_keys).to(device), n_queries, n_keys, None
    )
    tensors = drawn(sum(n_queries), n_head), *(drawn(sum(n_keys), n_head_kv) for _ in range(2))
    weights = drawn(sum(n_queries), n_head)
    try:
        with torch.enable_grad(), torch.autocast("cuda", enabled=False):
            found, expected = (
                _with_gradients(each, tensors, blocks, weights) for each in (way, one_by_one)
            )
    except RuntimeError:
        return False
    return all(
        float((a - b).abs().max()) <= _ROUNDING * float(b.abs().max())
        for a, b in zip(found, expected, strict=True)
    )


def _with_gradients(
    way: Way, tensors: tuple[Tensor, ...], blocks: Blocks, weights: Tensor
) -> list[Tensor]:
    own = [tensor.clone().requires_grad_() for tensor in tensors]
    q, k, v = own
    seen = way(q, k, v, blocks, 0.1)
    seen.backward(weights)  # type: ignore[no-untyped-call]  # torch's own
    gradients = [tensor.grad for tensor in own if tensor.grad is not None]
    return [each.detach().float() for each in (seen, *gradients)]


def begins(lengths: tuple[int, ...]) -> Tensor:
    """Where parts of these lengths begin, and the end: int32[parts + 1]."""
    return F.pad(torch.tensor(lengths, dtype=torch.int32).cumsum(0, dtype=torch.int32), (1, 0))


def _causal(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """bool[queries, keys]: a query sees what stands before it, and itself."""
    at = torch.arange(n_keys, device=device)
    return at[None, :] <= at[n_keys - n_queries :, None]


def _turn(keys: Tensor, turned: Turned) -> Tensor:
    """Turn pairs (i, i + n_rot/2) of the first n_rot dimensions, transformers' order."""
    half = turned.cos.shape[-1]
    x, y, rest = torch.split(keys, [half, half, keys.shape[-1] - 2 * half], dim=-1)
    cos, sin = turned.cos, turned.sin
    return torch.cat([x * cos - y * sin, y * cos + x * sin, rest.to(cos)], dim=-1)


AttentionInterface.register(ATTENTION, attend)
