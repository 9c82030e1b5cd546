"""A bound on the KV cache: what of a text is held at a time, and how."""

from __future__ import annotations

from dataclasses import replace

from longctx.errors import PlanError
from longctx.model_info import ModelInfo, format_bytes
from longctx.planner.compression import compression_obstacle
from longctx.planner.memory import (
    CELL_PADDING,
    KvType,
    cache_by_layer,
    can_quantize_kv,
    padded,
)
from longctx.planner.request import PlanRequest

_FEWER_BITS: tuple[KvType, ...] = ("f16", "q8_0")
"""Half the bits cost less than half the tokens (docs/compression.md); a quarter of them more."""


def within_budget(info: ModelInfo, request: PlanRequest, reasons: list[str]) -> PlanRequest:
    """The request, so that its cache takes no more than ``kv_budget``.

    Fewer bits come first, where the type was not asked for. Where that is not enough, as many
    tokens are held as the budget bears, and a text that goes on compresses its oldest, or lets
    them slide if that was asked for.

    Raises:
        PlanError: the budget bears no window, or this model's cache cannot be compressed.
    """
    budget, wanted = request.kv_budget_bytes, request.target_ctx
    if budget is None:
        return request
    given = request.kv_type
    types = (given,) if given else _FEWER_BITS[: 1 if can_quantize_kv(info, request.devices) else 2]
    sizes = {kv: _size(info, request, wanted, kv) for kv in types}
    told = ", ".join(f"{format_bytes(size)} in {kv}" for kv, size in sizes.items())
    for kv, size in sizes.items():
        if size <= budget:
            reasons.append(
                f"The KV cache may take {format_bytes(budget)}: {wanted:,} tokens take {told}."
            )
            # Where the most exact fits, memory may still ask for fewer bits.
            return request if kv == types[0] else replace(request, kv_type=kv)
    kv = types[-1]
    n_ctx = _largest(info, request, kv)
    needed = request.reserve_output + request.n_keep
    if n_ctx <= needed:
        least = -(-_size(info, request, needed + CELL_PADDING, kv) // 2**20)
        raise PlanError(
            f"kv_budget is {format_bytes(budget)}, in which {info.name} holds {n_ctx:,} tokens "
            f"({kv}), and {needed:,} are reserved for the answer and the attention sinks: give at "
            f"least {least}MiB, or lower reserve_output"
        )
    if request.overflow != "slide":
        if reason := compression_obstacle(info, kv):
            raise PlanError(
                f"kv_budget is {format_bytes(budget)}, and {wanted:,} tokens take {told}; the "
                f"cache of {info.name} cannot be compressed: {reason}. Ask for {n_ctx:,} tokens, "
                "or pass overflow='slide'"
            )
        request = replace(request, overflow="compress")
    how = "the oldest are compressed" if request.overflow == "compress" else "the oldest go"
    reasons.append(
        f"{n_ctx:,} of {wanted:,} tokens at a time: the KV cache may take {format_bytes(budget)}, "
        f"and all would take {told}. From {n_ctx:,} tokens on {how}."
    )
    return replace(request, target_ctx=n_ctx, kv_type=kv)


def _size(info: ModelInfo, request: PlanRequest, n_ctx: int, kv: KvType) -> int:
    """Bytes of a window's cache, as it will be allocated."""
    return sum(cache_by_layer(info, padded(n_ctx), kv, request.devices.tokens_at_once))


def _largest(info: ModelInfo, request: PlanRequest, kv: KvType) -> int:
    """The largest window whose cache fits, in cells as llama.cpp allocates them; 0 for none."""
    fits, too_many = 0, -(-request.target_ctx // CELL_PADDING)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _size(info, request, middle * CELL_PADDING, kv) <= (request.kv_budget_bytes or 0):
            fits = middle
        else:
            too_many = middle
    return fits * CELL_PADDING
