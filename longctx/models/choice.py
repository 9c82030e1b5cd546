"""Which quantisation of a model, where none was named: the best that memory bears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from longctx.devices import Device, DeviceOptions
from longctx.errors import PlanError
from longctx.model_info import ModelInfo, format_bytes
from longctx.models.variants import Variant
from longctx.planner import Fitting, KvType, MemoryEstimate, largest_window, machines_devices
from longctx.planner.memory_limit import resolve_memory_limit

_MOST_BITS, _FEW_BITS = 8, 4
_KV_TYPES: tuple[KvType, ...] = ("f16", "q8_0", "q4_0")


@dataclass(frozen=True)
class Room:
    """What a model is to fit: memory, with a window.

    Attributes:
        target_ctx: the window in tokens.
        memory_limit: of the host, as of a plan; None is what is free now, less a margin.
        options: what goes to GPUs, as of a plan.
        machine: its devices; None asks llama.cpp, once something is to be chosen.
    """

    target_ctx: int
    memory_limit: int | str | None = None
    options: DeviceOptions = field(default_factory=DeviceOptions)
    machine: tuple[Device, ...] | None = None

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """What layers may lie on besides the host."""
        return machines_devices(self.options) if self.machine is None else self.machine


def choose(variants: Sequence[Variant], info: ModelInfo, room: Room) -> tuple[Variant, str] | None:
    """Choose by memory: the most bits that fit with the window, up to 8.

    More than 8 bits are twice the memory for what nobody can measure. Below 4 bits models lose
    much, so that keys and values are rather quantised than the weights made smaller still. Layers
    that are left to the processor make a model many times slower, so that what lies on GPUs as a
    whole goes before more bits that do not.

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
    tried = [(enough, kv, False) for kv in _KV_TYPES] + [(few, kv, False) for kv in _KV_TYPES]
    # Only with the keys and values that a plan takes by itself, where they fit the host's memory.
    for candidates, kv, whole in [(enough, _KV_TYPES[0], True), *tried]:
        for variant in candidates:
            memory = _memory(info, variant, room, kv, limit)
            if memory is None or memory.host_bytes > limit:
                continue
            if whole and not _fitting(info, variant, room, limit).is_whole(room.target_ctx, kv):
                continue
            before = usual.index(variant) - 1
            larger = _memory(info, usual[before], room, kv, limit) if before >= 0 else None
            more = (
                f"; {usual[before].short} would make {format_bytes(larger.total_bytes)}"
                if larger
                else ""
            )
            return variant, (
                f"{variant.short}, of {len(variants)} quantisations: with "
                f"{room.target_ctx:,} tokens of {kv} keys and values it makes {memory}"
                f"{_where(memory)} {format_bytes(limit)} ({source}){more}."
            )
    return None


def _where(memory: MemoryEstimate) -> str:
    """What of it lies on which GPU, up to the host's share of it."""
    there = [
        f"{format_bytes(place.total_bytes)} of {format_bytes(place.free_bytes)} free on "
        f"{place.device}"
        for place in memory.places
    ]
    return f": {', '.join(there)}, and {format_bytes(memory.host_bytes)} of" if there else " of"


def none_fits(name: str, variants: Sequence[Variant], info: ModelInfo, room: Room) -> PlanError:
    """That no quantisation fits, with what the smallest would take."""
    limit, source = resolve_memory_limit(room.memory_limit)
    smallest = variants[-1]
    fitting = _fitting(info, smallest, room, limit)
    largest = largest_window(
        fitting.info, room.target_ctx, kv_type="q4_0", limit_bytes=limit,
        estimate=lambda n_ctx: fitting.estimate(n_ctx, "q4_0"),
    )  # fmt: skip
    advice = (
        f"With it {largest:,} tokens fit: ask for target_ctx={largest}, or"
        if largest
        else "Not even the smallest window fits:"
    )
    memory = fitting.estimate(room.target_ctx, "q4_0")
    gpus = " and the GPUs" if memory.places else ""
    return PlanError(
        f"no quantisation of {name} fits {format_bytes(limit)} ({source}){gpus} with "
        f"{room.target_ctx:,} tokens: the smallest, {smallest.short}, needs {memory}. {advice} "
        "raise memory_limit, free memory, or take a smaller model",
        largest_ctx=largest,
    )


def _memory(
    info: ModelInfo, variant: Variant, room: Room, kv: KvType, limit: int
) -> MemoryEstimate | None:
    """What it takes, and where; None where the layers that were asked for do not fit GPUs."""
    fitting = _fitting(info, variant, room, limit)
    try:
        return fitting.estimate(room.target_ctx, kv)
    except PlanError:
        return None


def _fitting(info: ModelInfo, variant: Variant, room: Room, limit: int) -> Fitting:
    """The model in another quantisation, by the size of its files, and the machine."""
    share = variant.n_bytes / max(1, info.weights_bytes)
    sized = info.model_copy(
        update={
            "weights_bytes": variant.n_bytes,
            "weights_layout": info.weights_layout.scaled(share),
        }
    )
    return Fitting(sized, room.options, room.devices, limit)
