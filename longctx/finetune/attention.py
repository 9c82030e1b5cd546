"""RoPE and attention in torch, as our llama.cpp backend runs them.

Frequencies and temperature are a :class:`longctx.rope.RopeConfig`'s. Under Self-Extend cached keys
move as the text grows; here each block of queries sees the keys turned to where they stand by then,
which is the same rotation (:mod:`longctx.rope.rotate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

from longctx.errors import UnsupportedModelError
from longctx.finetune.placement import Placement
from longctx.rope import RopeConfig

ATTENTION = "longctx_views"
"""The name under which transformers knows :func:`attend`."""


@dataclass(frozen=True)
class TurnedView:
    """A block of queries, and what turns the keys before its end to where it sees them.

    ``cos`` and ``sin`` are float32[end, n_rot / 2]; None where no key moves.
    """

    begin: int
    end: int
    cos: Tensor | None
    sin: Tensor | None


def turned_views(placement: Placement, inv_freq: Tensor) -> tuple[TurnedView, ...]:
    """The rotations of a placement's views.

    Args:
        placement: of one sequence.
        inv_freq: float32[n_rot / 2], radians a position.
    """
    views = []
    for view in placement.views:
        moved = view.keys - placement.own[: view.end]
        if not np.any(moved):
            views.append(TurnedView(view.begin, view.end, None, None))
            continue
        angles = torch.from_numpy(moved).to(inv_freq)[:, None] * inv_freq
        views.append(TurnedView(view.begin, view.end, angles.cos(), angles.sin()))
    return tuple(views)


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
    views: tuple[TurnedView, ...],
    **_others: Any,
) -> tuple[Tensor, None]:
    """Causal attention of one sequence, block of queries by block.

    Shapes are transformers': query [1, n_head, n, d], key and value [1, n_head_kv, n, d], rotated
    where each token stands itself.
    """
    blocks = []
    for view in views:
        keys = key[:, :, : view.end]
        if view.cos is not None and view.sin is not None:
            keys = _turn(keys, view.cos, view.sin)
        whole = view.begin == 0
        blocks.append(
            F.scaled_dot_product_attention(
                query[:, :, view.begin : view.end],
                keys,
                value[:, :, : view.end],
                attn_mask=None if whole else _causal(view, query.device),
                is_causal=whole,
                scale=scaling,
                enable_gqa=True,
            )
        )
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous(), None


def _causal(view: TurnedView, device: torch.device) -> Tensor:
    """bool[queries, keys]: a query sees what stands before it, and itself."""
    at = torch.arange(view.end, device=device)
    return at[None, :] <= at[view.begin :, None]


def _turn(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (i, i + n_rot/2) of the first n_rot dimensions, transformers' order."""
    half = cos.shape[-1]
    x, y, rest = keys[..., :half], keys[..., half : 2 * half], keys[..., 2 * half :]
    cos, sin = cos.to(keys), sin.to(keys)
    return torch.cat([x * cos - y * sin, y * cos + x * sin, rest], dim=-1)


AttentionInterface.register(ATTENTION, attend)
