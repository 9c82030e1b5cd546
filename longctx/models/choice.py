"""Which quantisation of a model, where none was named: the best that memory bears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.errors import PlanError
from longctx.model_info import ModelInfo, format_bytes
from longctx.models.variants import Variant
from longctx.planner import KvType, MemoryEstimate, estimate_memory, largest_window
from longctx.planner.memory_limit import resolve_memory_limit

_MOST_BITS, _FEW_BITS = 8, 4
_KV_TYPES: tuple[KvType, ...] = ("f16", "q8_0", "q4_0")


@dataclass(frozen=True)
class Room:
    """What a model is to fit: memory, with a window.

    Attributes:
        target_ctx: the window in tokens.
        memory_limit: as of a plan; None is what is free now, less a margin.
    """

    target_ctx: int
    memory_limit: int | str | None = None


def choose(variants: Sequence[Variant], info: ModelInfo, room: Room) -> tuple[Variant, str] | None:
    """Choose by memory: the most bits that fit with the window, up to 8.

    More than 8 bits are twice the memory for what nobody can measure. Below 4 bits models lose
    much, so that keys and values are rather quantised than the weights made smaller still.

    Args:
        variants: of one model, largest first.
        info: the model, by the header of any of them.
        room: what it is to fit.

    Returns:
        The variant, and why in a sentence; None where none fits.
    """
    limit, source = resolve_memory_limit(room.memory_limit)
    usual = [each for each in variants if each.bits <= _MOST_BITS] or list(variants)
    enough = [each for each in usual if each.bits >= _FEW_BITS]
    few = [each for each in usual if each.bits < _FEW_BITS]
    for candidates in (enough, few):
        for kv in _KV_TYPES:
            for variant in candidates:
                memory = _memory(info, variant, room, kv)
                if memory.total_bytes <= limit:
                    before = usual.index(variant) - 1
                    larger = usual[before] if before >= 0 else None
                    more = (
                        f"; {larger.short} would make "
                        f"{format_bytes(_memory(info, larger, room, kv).total_bytes)}"
                        if larger
                        else ""
                    )
                    return variant, (
                        f"{variant.short}, of {len(variants)} quantisations: with "
                        f"{room.target_ctx:,} tokens of {kv} keys and values it makes {memory} of "
                        f"{format_bytes(limit)} ({source}){more}."
                    )
    return None


def none_fits(name: str, variants: Sequence[Variant], info: ModelInfo, room: Room) -> PlanError:
    """That no quantisation fits, with what the smallest would take."""
    limit, source = resolve_memory_limit(room.memory_limit)
    smallest = variants[-1]
    sized = _sized(info, smallest)
    largest = largest_window(sized, room.target_ctx, kv_type="q4_0", limit_bytes=limit)
    advice = (
        f"With it {largest:,} tokens fit: ask for target_ctx={largest}, or"
        if largest
        else "Not even the smallest window fits:"
    )
    memory = _memory(info, smallest, room, "q4_0")
    return PlanError(
        f"no quantisation of {name} fits {format_bytes(limit)} ({source}) with "
        f"{room.target_ctx:,} tokens: the smallest, {smallest.short}, needs {memory}. {advice} "
        "raise memory_limit, free memory, or take a smaller model",
        largest_ctx=largest,
    )


def _memory(info: ModelInfo, variant: Variant, room: Room, kv: KvType) -> MemoryEstimate:
    return estimate_memory(_sized(info, variant), room.target_ctx, kv_type=kv)


def _sized(info: ModelInfo, variant: Variant) -> ModelInfo:
    """The model in another quantisation, by the size of its files."""
    return info.model_copy(update={"weights_bytes": variant.n_bytes})
