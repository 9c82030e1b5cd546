"""Which layers go to which device: sizes and free memory in, a decision out.

llama.cpp places the last layers first, the output among them, each device's next to each other.
So do we: a mixture's experts stay with the processor first (they are most of its weights and
little of its work), then the first layers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx.devices import Device, DeviceOptions
from longctx.types import Frozen

MARGIN_SHARE, MOST_MARGIN, LEAST_MARGIN = 16, 2**30, 128 * 2**20
_STEPS = 32


class Share(Frozen):
    """A device and the layers that it gets, the output counted as one."""

    device: Device
    n_layers: int


class Placement(Frozen):
    """Where the layers of a model lie.

    ``n_layers`` are all of them, the output counted as one; the last of them are ``shares``', in
    their order, and the others the processor's. ``expert_layers`` are those whose experts the
    processor keeps all the same. ``copies`` of the weights are loaded: metadata that says what a
    context cannot takes another.
    """

    shares: tuple[Share, ...] = ()
    n_layers: int = 0
    expert_layers: tuple[int, ...] = ()
    kv_on_gpu: bool = True
    copies: int = 1

    @property
    def gpu_layers(self) -> int:
        """Layers that a GPU has."""
        return sum(share.n_layers for share in self.shares)

    @property
    def is_whole(self) -> bool:
        """Whether nothing but the token embeddings is left to the processor."""
        is_all = bool(self.shares) and self.gpu_layers == self.n_layers
        return is_all and self.kv_on_gpu and not self.expert_layers

    @property
    def is_visited(self) -> bool:
        """Whether the host holds weights that a GPU computes with where a batch is large."""
        return bool(self.expert_layers) or self.gpu_layers < self.n_layers

    @property
    def attends_on_cpu(self) -> bool:
        """Whether attention is the processor's work, in some layers at least."""
        return not self.shares or not self.kv_on_gpu or self.gpu_layers < self.n_layers

    def units(self) -> Iterator[tuple[Share, range]]:
        """Each device with its layers, by number."""
        first = self.n_layers - self.gpu_layers
        for share in self.shares:
            yield share, range(first, first + share.n_layers)
            first += share.n_layers


@dataclass(frozen=True)
class Load:
    """What is to be placed, in bytes.

    Attributes:
        weights: of each layer, the output behind them.
        experts: how much of it are experts.
        cache: keys, values and states of each; all 0 where they stay in the host's memory.
        compute: buffers of each device that has a layer.
        visiting: of the largest tensor that visits a device while the host holds it.
    """

    weights: tuple[int, ...]
    experts: tuple[int, ...]
    cache: tuple[int, ...]
    compute: int
    visiting: int = 0

    @property
    def n_layers(self) -> int:
        """All, the output counted as one."""
        return len(self.weights)

    def layer(self, i: int, n_experts: int) -> int:
        """Bytes of a layer where the first ``n_experts`` keep their experts with the processor."""
        return self.weights[i] - self.experts[i] * (i < n_experts) + self.cache[i]

    def device(self, layers: range, n_experts: int, n_placed: int) -> int:
        """Bytes on a device that has these of ``n_placed`` layers."""
        own = sum(self.layer(i, n_experts) for i in layers)
        return own + self.buffers(n_experts, n_placed) if layers else 0

    def buffers(self, n_experts: int, n_placed: int) -> int:
        """Bytes on each device beside its layers."""
        visits = n_experts > 0 or n_placed < self.n_layers
        return self.compute + self.visiting * visits


def margin_bytes(device: Device) -> int:
    """What stays free on a device: for others, and for what buffers take past the estimate."""
    return min(MOST_MARGIN, max(LEAST_MARGIN, device.total_bytes // MARGIN_SHARE))


def place(
    load: Load, rooms: Sequence[tuple[Device, int]], options: DeviceOptions, *, n_wanted: int
) -> tuple[tuple[Share, ...], int]:
    """Place the last ``n_wanted`` layers, or as many as fit.

    Args:
        load: the sizes.
        rooms: devices in llama.cpp's order, and how many bytes each may take.
        options: how layers are shared, and whose experts stay with the processor.
        n_wanted: layers to place at most, the output counted as one.

    Returns:
        The devices with their layers, and in how many layers, the first first, experts stay behind.
    """
    n_sparse = 1 + max((i for i, size in enumerate(load.experts) if size), default=-1)
    tried: Sequence[int] = range(n_sparse + 1)
    if options.experts_on_cpu != "auto":
        given = options.experts_on_cpu
        tried = [n_sparse if given == "all" else min(given, n_sparse)]
    for n_experts in tried:
        if shares := _spread(load, rooms, options, n_wanted, n_experts):
            return shares, n_experts
    for n_placed in range(n_wanted - 1, 0, -1):
        if shares := _spread(load, rooms, options, n_placed, tried[-1]):
            return shares, tried[-1]
    return (), 0


def _spread(
    load: Load,
    rooms: Sequence[tuple[Device, int]],
    options: DeviceOptions,
    n_placed: int,
    n_experts: int,
) -> tuple[Share, ...] | None:
    """So many layers on the devices; None where they do not fit."""
    first = load.n_layers - n_placed
    if options.tensor_split is not None:
        counts = by_shares(n_placed, options.tensor_split)
        begin = first
        for (_, room), count in zip(rooms, counts, strict=True):
            if load.device(range(begin, begin + count), n_experts, n_placed) > room:
                return None
            begin += count
        return _shares(rooms, counts)
    whole = load.device(range(first, load.n_layers), n_experts, n_placed)
    # One device alone is spared what several would send each other.
    device, room = max(rooms, key=lambda each: each[1])
    if whole <= room:
        return (Share(device=device, n_layers=n_placed),)
    if sum(_fill(load, [room for _, room in rooms], n_placed, n_experts)) < n_placed:
        return None
    # Evenly: of the shares of their memory that suffice, the smallest.
    filled = ([room * step // _STEPS for _, room in rooms] for step in range(1, _STEPS + 1))
    tried = (_fill(load, each, n_placed, n_experts) for each in filled)
    return _shares(rooms, next(counts for counts in tried if sum(counts) == n_placed))


def _fill(load: Load, rooms: Sequence[int], n_placed: int, n_experts: int) -> list[int]:
    """Layers that each device takes, the last device the last ones, until each is full."""
    end, first, counts = load.n_layers, load.n_layers - n_placed, [0] * len(rooms)
    for i in reversed(range(len(rooms))):
        left = rooms[i] - load.buffers(n_experts, n_placed)
        while end > first and load.layer(end - 1, n_experts) <= left:
            end -= 1
            left -= load.layer(end, n_experts)
            counts[i] += 1
    return counts


def by_shares(n_layers: int, shares: Sequence[float]) -> list[int]:
    """Layers for each device by llama.cpp's own rule: the first whose part of the sum is not yet
    reached."""
    total, ends, reached = sum(shares), list[float](), 0.0
    for share in shares:
        reached += share
        ends.append(reached / total)
    counts = [0] * len(shares)
    for i in range(n_layers):
        counts[next((d for d, end in enumerate(ends) if end > i / n_layers), len(ends) - 1)] += 1
    return counts


def _shares(rooms: Sequence[tuple[Device, int]], counts: Sequence[int]) -> tuple[Share, ...]:
    return tuple(
        Share(device=device, n_layers=count)
        for (device, _), count in zip(rooms, counts, strict=True)
        if count
    )
