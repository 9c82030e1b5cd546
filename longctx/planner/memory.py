"""How much memory a window takes: weights, KV cache and compute buffers, before any is allocated.

The KV part follows llama.cpp's caches layer by layer and is exact. The compute buffer is the
peak of a graph allocator; what dominates it is understood, its last few per cent (which blocks
can be reused in which order) are not modelled. ``benchmarks/memory_estimate.py`` compares both
with what llama.cpp allocates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from longctx.devices import N_BATCH, DeviceOptions
from longctx.model_info import Adapter, Layer, ModelInfo
from longctx.planner.memory_estimate import MemoryEstimate, Place
from longctx.planner.placement import Placement, Share, margin_bytes

KvType: TypeAlias = Literal["f16", "bf16", "q8_0", "q4_0"]

# Elements in a block, bytes of a block.
_KV_BLOCKS: dict[str, tuple[int, int]] = {
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
}
N_SEQUENCES = 32
"""Conversations in a context that they share, answering or kept; each costs a row of logits."""
CELLS_APART = 2048
"""Of a small context in which prompts are prefilled while others are answered (docs/engine.md)."""
CELL_PADDING = 256
"""llama.cpp rounds windows and sliding caches up to multiples of this many tokens."""


CHECKPOINTS = 8
"""States of a text that are kept where layers forget (longctx.cache.checkpoints), at most."""
CHECKPOINTS_BYTES = 256 * 2**20
"""Together, at most; the newest is kept whatever its size."""


def padded(n_ctx: int) -> int:
    """Cells that llama.cpp allocates for a window of ``n_ctx`` tokens."""
    return -(-n_ctx // CELL_PADDING) * CELL_PADDING


def estimate_memory(
    info: ModelInfo,
    n_ctx: int,
    *,
    kv_type: KvType = "f16",
    limit_bytes: int = 0,
    adapters: Sequence[Adapter] = (),
    options: DeviceOptions | None = None,
    placement: Placement | None = None,
) -> MemoryEstimate:
    """Estimate what a context of ``n_ctx`` tokens takes, next to the weights.

    Args:
        info: the model.
        n_ctx: the window in tokens.
        kv_type: of keys and values alike.
        limit_bytes: what the estimate is held against; only kept here.
        adapters: LoRA adapters that are applied.
        options: how tokens are batched, and whether attention is fused; by default as a context is
            opened that says nothing of it.
        placement: what lies on GPUs; None is nothing.
    """
    options = options or DeviceOptions()
    n_cells, n_ubatch = padded(n_ctx), options.tokens_at_once
    # The product with A lives beside the peak's stage; that with B is where its sum will be.
    rank = max((adapter.rank for adapter in adapters), default=0)
    added = 4 * min(n_ubatch, n_cells) * rank
    compute = added + compute_bytes(
        info, n_cells, n_ubatch=n_ubatch, is_fused=options.flash_attention != "off"
    )
    cache = cache_by_layer(info, n_cells, kv_type, n_ubatch)
    adapters_bytes = sum(adapter.n_bytes for adapter in adapters)
    placement = placement or Placement()
    visiting = info.weights_layout.largest * options.op_offload * placement.is_visited
    places = _places(info, placement, cache, compute + visiting, adapters_bytes)
    weights, host_compute = info.weights_bytes, compute
    if placement.shares:
        # A place's weights have those of its layers' adapters in them, once a copy.
        there = sum(_part(adapters_bytes, share, placement) for share in placement.shares)
        adapters_bytes += there * (placement.copies - 1)
        weights = _host_weights(info, placement) - there * placement.copies
        weights += sum(place.weights_bytes for place in places)
        # All that works there is in the places but for what the host gives them and takes back.
        if placement.is_whole:
            host_compute = _exchanged_bytes(info, n_cells, n_ubatch)
    return MemoryEstimate(
        weights_bytes=weights,
        kv_bytes=sum(cache),
        compute_bytes=host_compute + sum(place.compute_bytes for place in places),
        limit_bytes=limit_bytes,
        adapters_bytes=adapters_bytes,
        checkpoints_bytes=checkpoints_bytes(info, kv_type),
        beside_bytes=_beside_bytes(info, n_ctx, kv_type, attends_on_cpu=placement.attends_on_cpu),
        places=places,
    )


def _places(
    info: ModelInfo,
    placement: Placement,
    cache: Sequence[int],
    compute: int,
    adapters_bytes: int,
) -> tuple[Place, ...]:
    found = []
    for share, layers in placement.units():
        weights = [unit_weights(info, i, placement.expert_layers) for i in layers]
        adapters = _part(adapters_bytes, share, placement)
        found.append(
            Place(
                device=share.device.name,
                n_layers=share.n_layers,
                weights_bytes=(sum(weights) + adapters) * placement.copies,
                kv_bytes=sum(cache[i] for i in layers if i < len(cache)) * placement.kv_on_gpu,
                compute_bytes=compute,
                free_bytes=share.device.free_bytes,
                margin_bytes=margin_bytes(share.device),
                is_unified=share.device.is_unified,
            )
        )
    return tuple(found)


def _part(n_bytes: int, share: Share, placement: Placement) -> int:
    return n_bytes * share.n_layers // placement.n_layers


def unit_weights(info: ModelInfo, i: int, expert_layers: Sequence[int] = ()) -> int:
    """Bytes of a layer's weights, of the output's behind the last, less experts kept elsewhere."""
    layout = info.weights_layout
    if i == len(layout.layers):
        return layout.output
    return layout.layers[i] - layout.experts[i] * (i in expert_layers)


def _host_weights(info: ModelInfo, placement: Placement) -> int:
    """What the host keeps of the weights; the files' pages are shared by all copies of them."""
    layout, first = info.weights_layout, placement.n_layers - placement.gpu_layers
    whole = sum(unit_weights(info, i) for i in range(first))
    sparse = sum(layout.experts[i] for i in placement.expert_layers if i >= first)
    return layout.inputs + whole + sparse


def holds_sequences(info: ModelInfo) -> bool:
    """Whether a cache can hold several sequences at no cost but their cells.

    Sliding caches and recurrent states take their full size once for each.
    """
    return not info.forgets


def _beside_bytes(info: ModelInfo, n_ctx: int, kv_type: KvType, *, attends_on_cpu: bool) -> int:
    if not holds_sequences(info):
        return 0
    if not attends_on_cpu:  # prompts are prefilled with the answers
        return N_SEQUENCES * 4 * info.n_vocab
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
    estimate: Callable[[int], MemoryEstimate] | None = None,
) -> int | None:
    """The largest window whose estimate fits, in steps of llama.cpp's; None where none does.

    Args:
        info: the model.
        below: a window in tokens that is too large, or larger than what is wanted.
        kv_type: of keys and values alike.
        limit_bytes: what it is to fit.
        adapters: LoRA adapters that are applied.
        estimate: of a window, where some of it lies on GPUs; by default nothing does.
    """

    def on_the_host(n_ctx: int) -> MemoryEstimate:
        return estimate_memory(info, n_ctx, kv_type=kv_type, adapters=adapters)

    estimate = estimate or on_the_host
    fits, fails = 0, padded(below) // CELL_PADDING
    while fails - fits > 1:
        middle = (fits + fails) // 2
        host_bytes = estimate(middle * CELL_PADDING).host_bytes
        fits, fails = (middle, fails) if host_bytes <= limit_bytes else (fits, middle)
    return fits * CELL_PADDING or None


def kv_cache_bytes(info: ModelInfo, n_ctx: int, kv_type: KvType) -> int:
    """Bytes of all caches and recurrent states of one sequence (exact); ``n_ctx`` in cells."""
    return sum(cache_by_layer(info, n_ctx, kv_type))


def cache_by_layer(
    info: ModelInfo, n_ctx: int, kv_type: KvType, n_ubatch: int = N_BATCH
) -> list[int]:
    """Bytes of each layer's cache and recurrent state of one sequence (exact); ``n_ctx`` in
    cells."""
    return [
        _cells(info, layer, n_ctx, n_ubatch)
        * (_row_bytes(layer.key_elements, kv_type) + _row_bytes(layer.value_elements, kv_type))
        + 4 * layer.state_elements
        for layer in info.layers
    ]


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


def _cells(info: ModelInfo, layer: Layer, n_ctx: int, n_ubatch: int) -> int:
    """Tokens that a layer's cache holds (llama_kv_cache_iswa, with swa_full off)."""
    if layer.kind != "sliding" or info.sliding_window is None:
        return n_ctx
    cells = min(n_ctx, info.sliding_window + min(n_ubatch, n_ctx))
    return padded(cells)


def _row_bytes(elements: int, kv_type: KvType) -> int:
    block, block_bytes = _KV_BLOCKS[kv_type]
    return elements // block * block_bytes


def can_quantize_kv(info: ModelInfo, options: DeviceOptions | None = None) -> str | None:
    """Say why keys and values cannot be quantised; None where they can."""
    if options is not None and options.flash_attention == "off":
        return "quantised values need flash attention, which is off"
    if info.architecture == "grok":
        return "quantised values need flash attention, which llama.cpp turns off for Grok"
    for layer in info.layers:
        for what, length in (("key", layer.key_length), ("value", layer.value_length)):
            if length % 32:
                return f"its heads have {length} {what} elements, no multiple of the block of 32"
    return None


def compute_bytes(
    info: ModelInfo, n_ctx: int, *, n_ubatch: int = N_BATCH, is_fused: bool = True
) -> int:
    """Bytes of the graph's intermediate results, and of the logits of one token.

    A batch of up to ``n_ubatch`` tokens runs through one layer at a time, so the peak is that of
    the hungriest stage, in float32 a token; over it lie the attention masks, f16[cells, batch],
    which live through the whole graph and are all that grows with the window. Measured on
    generated models with flash attention: the feed-forward stage holds gate, up, their product
    and four rows of the residual stream (exact for Llama); attention holds the queries before
    and after RoPE, or one of them with three rows of keys and values.
    """
    n_tokens = min(n_ubatch, n_ctx)
    stages = [_feed_forward_elements(info), 4 * info.n_embd + 5 * info.n_inner]
    attention = [layer for layer in info.layers if layer.n_head_kv]
    if attention:
        stages.append(3 * info.n_embd + max(_attention_elements(info, a) for a in attention))
    masks = _masks(info, n_ctx, n_ubatch)
    inputs = 24  # token, position, cell of K and V, a token
    scores = 0
    if info.architecture == "grok" or not is_fused:  # scores and their softmax, and f32 masks
        masks, scores = 2 * masks, 2 * 4 * info.n_head * n_ctx
    return n_tokens * (4 * max(stages) + 2 * masks + inputs + scores) + 2 * 4 * info.n_vocab


def _masks(info: ModelInfo, n_ctx: int, n_ubatch: int) -> int:
    """Cells that a token's masks have together."""
    attention = [layer for layer in info.layers if layer.n_head_kv]
    sliding = {_cells(info, a, n_ctx, n_ubatch) for a in attention if a.kind == "sliding"}
    return sum(sliding) + n_ctx * any(layer.kind != "sliding" for layer in attention)


def _exchanged_bytes(info: ModelInfo, n_ctx: int, n_ubatch: int) -> int:
    """What the host holds of a graph that runs elsewhere: embeddings, masks, logits of a token."""
    n_tokens = min(n_ubatch, n_ctx)
    masks = _masks(info, n_ctx, n_ubatch)
    return n_tokens * (4 * info.n_embd + 2 * masks + 24) + 2 * 4 * info.n_vocab


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
