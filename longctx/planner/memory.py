"""How much memory a window takes: weights, KV cache and compute buffers, before any is allocated.

The KV part follows llama.cpp's caches layer by layer and is exact. The compute buffer is the
peak of a graph allocator; what dominates it is understood, its last few per cent (which blocks
can be reused in which order) are not modelled. ``benchmarks/memory_estimate.py`` compares both
with what llama.cpp allocates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pydantic import computed_field

from longctx.model_info import Adapter, Layer, ModelInfo, format_bytes, format_table
from longctx.types import Frozen

KvType: TypeAlias = Literal["f16", "bf16", "q8_0", "q4_0"]

# Elements in a block, bytes of a block.
_KV_BLOCKS: dict[str, tuple[int, int]] = {
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
}
_N_UBATCH = 512  # what our contexts ask for
N_SEQUENCES = 32
"""Conversations in a context that they share, answering or kept; each costs a row of logits."""
CELLS_APART = 2048
"""Of a small context in which prompts are prefilled while others are answered (docs/engine.md)."""
RUNTIME_BYTES = 120 * 2**20
"""Python, its libraries, and what requests on their way take; measured with `longctx serve`."""
CELL_PADDING = 256
"""llama.cpp rounds windows and sliding caches up to multiples of this many tokens."""


CHECKPOINTS = 8
"""States of a text that are kept where layers forget (longctx.cache.checkpoints), at most."""
CHECKPOINTS_BYTES = 256 * 2**20
"""Together, at most; the newest is kept whatever its size."""


def padded(n_ctx: int) -> int:
    """Cells that llama.cpp allocates for a window of ``n_ctx`` tokens."""
    return -(-n_ctx // CELL_PADDING) * CELL_PADDING


class MemoryEstimate(Frozen):
    """Bytes that a plan needs, and the limit it was made for.

    ``weights_bytes`` counts each tensor once. llama.cpp copies weights of some types (Q4_0,
    Q4_K, …) into an order its kernels like, while their pages of the file stay mapped; nothing
    reads those again, and the system takes them back when memory is short. ``adapters_bytes`` are
    those of LoRA adapters; ``checkpoints_bytes`` those of states that are kept of a text, for
    layers that cannot go back to an earlier one. ``beside_bytes`` are taken when many are answered
    at once, if the limit bears it: a small context for prompts, and logits for each. No window is
    refused for them.
    """

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    limit_bytes: int
    adapters_bytes: int = 0
    checkpoints_bytes: int = 0
    beside_bytes: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def total_bytes(self) -> int:
        """Weights, adapters, KV cache, checkpoints and compute buffers together."""
        return self.fixed_bytes + self.text_bytes

    @property
    def text_bytes(self) -> int:
        """What one text takes besides."""
        return self.kv_bytes + self.checkpoints_bytes + self.compute_bytes

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def resident_bytes(self) -> int:
        """What the process holds in all when it is busy, Python and its libraries included."""
        return self.total_bytes + self.beside_bytes + RUNTIME_BYTES

    @property
    def fixed_bytes(self) -> int:
        """What is there once, whatever windows are opened: weights and adapters."""
        return self.weights_bytes + self.adapters_bytes

    def __str__(self) -> str:
        adapters = f"adapters {format_bytes(self.adapters_bytes)}, " if self.adapters_bytes else ""
        checkpoints = (
            self.checkpoints_bytes and f"checkpoints {format_bytes(self.checkpoints_bytes)}, "
        )
        return (
            f"{format_bytes(self.total_bytes)} (weights {format_bytes(self.weights_bytes)}, "
            f"{adapters}KV cache {format_bytes(self.kv_bytes)}, {checkpoints or ''}"
            f"compute {format_bytes(self.compute_bytes)})"
        )

    def __repr__(self) -> str:
        return format_table(
            "memory",
            [
                ("weights", format_bytes(self.weights_bytes)),
                *([("adapters", format_bytes(self.adapters_bytes))] if self.adapters_bytes else []),
                ("KV cache", format_bytes(self.kv_bytes)),
                *(
                    [("checkpoints", format_bytes(self.checkpoints_bytes))]
                    if self.checkpoints_bytes
                    else []
                ),
                ("compute", format_bytes(self.compute_bytes)),
                ("total", format_bytes(self.total_bytes)),
                ("the process", format_bytes(self.resident_bytes)),
                ("limit", format_bytes(self.limit_bytes)),
            ],
        )


def estimate_memory(
    info: ModelInfo,
    n_ctx: int,
    *,
    kv_type: KvType = "f16",
    limit_bytes: int = 0,
    adapters: Sequence[Adapter] = (),
) -> MemoryEstimate:
    """Estimate what a context of ``n_ctx`` tokens takes, next to the weights.

    Args:
        info: the model.
        n_ctx: the window in tokens.
        kv_type: of keys and values alike.
        limit_bytes: what the estimate is held against; only kept here.
        adapters: LoRA adapters that are applied.
    """
    # The product with A lives beside the peak's stage; that with B is where its sum will be.
    rank = max((adapter.rank for adapter in adapters), default=0)
    added = 4 * min(_N_UBATCH, padded(n_ctx)) * rank
    return MemoryEstimate(
        weights_bytes=info.weights_bytes,
        kv_bytes=kv_cache_bytes(info, padded(n_ctx), kv_type),
        compute_bytes=compute_bytes(info, padded(n_ctx)) + added,
        limit_bytes=limit_bytes,
        adapters_bytes=sum(adapter.n_bytes for adapter in adapters),
        checkpoints_bytes=checkpoints_bytes(info, kv_type),
        beside_bytes=_beside_bytes(info, n_ctx, kv_type),
    )


def holds_sequences(info: ModelInfo) -> bool:
    """Whether a cache can hold several sequences at no cost but their cells.

    Sliding caches and recurrent states take their full size once for each.
    """
    return not info.forgets


def _beside_bytes(info: ModelInfo, n_ctx: int, kv_type: KvType) -> int:
    if not holds_sequences(info):
        return 0
    n_apart = padded(min(CELLS_APART, n_ctx))
    apart = kv_cache_bytes(info, n_apart, kv_type) + compute_bytes(info, n_apart)
    return apart + N_SEQUENCES * 4 * info.n_vocab


def largest_window(
    info: ModelInfo,
    below: int,
    *,
    kv_type: KvType = "f16",
    limit_bytes: int,
    adapters: Sequence[Adapter] = (),
) -> int | None:
    """The largest window whose estimate fits, in steps of llama.cpp's; None where none does.

    Args:
        info: the model.
        below: a window in tokens that is too large, or larger than what is wanted.
        kv_type: of keys and values alike.
        limit_bytes: what it is to fit.
        adapters: LoRA adapters that are applied.
    """
    fits, fails = 0, padded(below) // CELL_PADDING
    while fails - fits > 1:
        middle = (fits + fails) // 2
        n_ctx = middle * CELL_PADDING
        total = estimate_memory(info, n_ctx, kv_type=kv_type, adapters=adapters).total_bytes
        fits, fails = (middle, fails) if total <= limit_bytes else (fits, middle)
    return fits * CELL_PADDING or None


def kv_cache_bytes(info: ModelInfo, n_ctx: int, kv_type: KvType) -> int:
    """Bytes of all caches and recurrent states of one sequence (exact); ``n_ctx`` in cells."""
    return sum(
        _cells(info, layer, n_ctx)
        * (_row_bytes(layer.key_elements, kv_type) + _row_bytes(layer.value_elements, kv_type))
        + 4 * layer.state_elements
        for layer in info.layers
    )


def checkpoints_bytes(info: ModelInfo, kv_type: KvType) -> int:
    """Bytes of the states that are kept of one text, at most."""
    one = sum(
        (info.sliding_window or 0)
        * (_row_bytes(layer.key_elements, kv_type) + _row_bytes(layer.value_elements, kv_type))
        * (layer.kind == "sliding")
        + 4 * layer.state_elements
        for layer in info.layers
    )
    return max(one, min(CHECKPOINTS * one, CHECKPOINTS_BYTES))


def _cells(info: ModelInfo, layer: Layer, n_ctx: int) -> int:
    """Tokens that a layer's cache holds (llama_kv_cache_iswa, with swa_full off)."""
    if layer.kind != "sliding" or info.sliding_window is None:
        return n_ctx
    cells = min(n_ctx, info.sliding_window + min(_N_UBATCH, n_ctx))
    return padded(cells)


def _row_bytes(elements: int, kv_type: KvType) -> int:
    block, block_bytes = _KV_BLOCKS[kv_type]
    return elements // block * block_bytes


def can_quantize_kv(info: ModelInfo) -> str | None:
    """Say why keys and values cannot be quantised; None where they can."""
    if info.architecture == "grok":
        return "quantised values need flash attention, which llama.cpp turns off for Grok"
    for layer in info.layers:
        for what, length in (("key", layer.key_length), ("value", layer.value_length)):
            if length % 32:
                return f"its heads have {length} {what} elements, no multiple of the block of 32"
    return None


def compute_bytes(info: ModelInfo, n_ctx: int) -> int:
    """Bytes of the graph's intermediate results, and of the logits of one token.

    One batch of up to 512 tokens runs through one layer at a time, so the peak is that of the
    hungriest stage, in float32 a token; over it lie the attention masks, f16[cells, batch],
    which live through the whole graph and are all that grows with the window. Measured on
    generated models with flash attention: the feed-forward stage holds gate, up, their product
    and four rows of the residual stream (exact for Llama); attention holds the queries before
    and after RoPE, or one of them with three rows of keys and values.
    """
    n_tokens = min(_N_UBATCH, n_ctx)
    stages = [_feed_forward_elements(info), 4 * info.n_embd + 5 * info.n_inner]
    attention = [layer for layer in info.layers if layer.n_head_kv]
    if attention:
        stages.append(3 * info.n_embd + max(_attention_elements(info, a) for a in attention))
    masks = sum({_cells(info, layer, n_ctx) * (layer.kind == "sliding") for layer in attention})
    masks += n_ctx * any(layer.kind != "sliding" for layer in attention)
    inputs = 24  # token, position, cell of K and V, a token
    scores = 0
    if info.architecture == "grok":  # no flash attention: scores and their softmax, and f32 masks
        masks, scores = 2 * masks, 2 * 4 * info.n_head * n_ctx
    return n_tokens * (4 * max(stages) + 2 * masks + inputs + scores) + 2 * 4 * info.n_vocab


def _feed_forward_elements(info: ModelInfo) -> int:
    dense = 3 * info.n_ff
    # Each token's experts, side by side: gate, up and product, or product, output and weighted.
    experts = info.n_expert_used * max(
        3 * info.n_ff_expert, info.n_ff_expert + 2 * info.n_embd if info.n_ff_expert else 0
    )
    return max(dense, experts) + 4 * info.n_embd


def _attention_elements(info: ModelInfo, layer: Layer) -> int:
    queries = info.n_head * layer.key_length
    if layer.kind == "mla":  # plain queries, their compressed form, and both joined
        return 3 * queries
    return max(2 * queries, queries + 3 * layer.n_head_kv * layer.key_length)
