"""A model fitted to the devices of a machine: what can be had, what is chosen, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.devices import Device, DeviceOptions
from longctx.errors import PlanError
from longctx.model_info import Adapter, ModelInfo, format_bytes
from longctx.planner.memory import (
    KvType,
    cache_by_layer,
    can_quantize_kv,
    compute_bytes,
    estimate_memory,
    padded,
    unit_weights,
)
from longctx.planner.memory_estimate import MemoryEstimate
from longctx.planner.placement import Load, Placement, margin_bytes, place

NO_GPU = (
    "n_gpu_layers has no effect: this llama.cpp finds no GPU, so all layers run on the processor. "
    "Install a build of llama-cpp-python with CUDA, Metal or Vulkan (`longctx doctor` says how), "
    "or leave n_gpu_layers at 'auto'."
)


def usable_devices(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those that layers can be placed on, in llama.cpp's order: other machines', discrete GPUs,
    and integrated ones only where there are none of these."""
    there = [device for device in devices if device.takes_layers]
    remote = [device for device in there if device.backend == "RPC"]
    discrete = list[Device]()
    for device in there:
        # A build for both CUDA and Vulkan finds each GPU twice.
        is_twin = any(
            d.description == device.description and d.backend != device.backend for d in discrete
        )
        if device.kind == "gpu" and device.backend != "RPC" and not is_twin:
            discrete.append(device)
    integrated = [device for device in there if device.kind == "integrated"]
    first = integrated[0].backend if integrated else ""
    return (*remote, *(discrete or (d for d in integrated if d.backend == first)))


@dataclass(frozen=True)
class Fitting:
    """What a model is fitted with.

    Args:
        info: the model.
        options: what is asked.
        devices: what the machine has, as llama.cpp lists it.
        limit_bytes: of the host's memory.
        adapters: what is added to the weights.
        copies: of the weights that will be loaded.

    Raises:
        PlanError: the options name devices that are not there, or experts that the model has not.
    """

    info: ModelInfo
    options: DeviceOptions
    devices: tuple[Device, ...]
    limit_bytes: int
    adapters: tuple[Adapter, ...] = ()
    copies: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", usable_devices(self.devices))
        options, n = self.options, len(self.devices)
        if options.gpu_layers == 0:  # which devices there are was not even asked
            return
        if options.main_gpu is not None and options.main_gpu >= n:
            raise PlanError(f"main_gpu is {options.main_gpu}; {self._there()}")
        if options.tensor_split is not None and len(options.tensor_split) != n:
            shares = len(options.tensor_split)
            raise PlanError(
                f"tensor_split has {shares} share{'s' * (shares != 1)}; {self._there()}"
            )
        if options.experts_on_cpu not in ("auto", 0) and not self.info.weights_layout.has_experts:
            raise PlanError(
                f"experts_on_cpu is {options.experts_on_cpu!r}, and {self.info.name} is no mixture "
                "of experts; leave it at 'auto'"
            )
        if options.main_gpu is not None:
            object.__setattr__(self, "devices", (self.devices[options.main_gpu],))

    def _there(self) -> str:
        named = ", ".join(f"{i} {d.name} ({d.description})" for i, d in enumerate(self.devices))
        n = len(self.devices)
        there = f"this machine has {n} GPU{'s' * (n != 1)} that llama.cpp can use"
        return f"{there}: {named}" if named else there

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was asked for and cannot be."""
        asked = self.options.gpu_layers not in ("auto", 0)
        return (NO_GPU,) if asked and not self.devices else ()

    def estimate(self, n_ctx: int, kv_type: KvType) -> MemoryEstimate:
        """What a window takes, and where."""
        return self._estimate(n_ctx, kv_type, self.place(n_ctx, kv_type))

    def _estimate(self, n_ctx: int, kv_type: KvType, placement: Placement) -> MemoryEstimate:
        return estimate_memory(
            self.info,
            n_ctx,
            kv_type=kv_type,
            limit_bytes=self.limit_bytes,
            adapters=self.adapters,
            options=self.options,
            placement=placement,
        )

    def is_whole(self, n_ctx: int, kv_type: KvType) -> bool:
        """Whether nothing but the token embeddings is left to the processor."""
        return self.place(n_ctx, kv_type).is_whole

    def place(self, n_ctx: int, kv_type: KvType) -> Placement:
        """Choose the layers of each device for a window.

        Raises:
            PlanError: layers were asked for that do not fit.
        """
        options, load = self.options, self._load(n_ctx, kv_type)
        asked = options.gpu_layers
        n_wanted = min(asked, load.n_layers) if isinstance(asked, int) else load.n_layers
        if not self.devices or n_wanted == 0:
            return Placement(n_layers=load.n_layers, copies=self.copies)
        rooms = [(device, self._room(device)) for device in self.devices]
        shares, n_experts = place(load, rooms, options, n_wanted=n_wanted)
        placement = Placement(
            shares=shares,
            n_layers=load.n_layers,
            expert_layers=tuple(i for i in range(n_experts) if load.experts[i]),
            kv_on_gpu=options.kv_on_gpu,
            copies=self.copies,
        )
        if asked != "auto" and placement.gpu_layers < n_wanted:
            free = " and ".join(f"{d.name} has {format_bytes(d.free_bytes)}" for d in self.devices)
            whole = sum(
                load.layer(i, n_experts) for i in range(load.n_layers - n_wanted, load.n_layers)
            )
            raise PlanError(
                f"gpu_layers is {asked!r}: {n_wanted} layers of {self.info.name} with "
                f"{n_ctx:,} tokens take {format_bytes(whole + load.compute)}, and {free} free. "
                f"{placement.gpu_layers} fit: use gpu_layers='auto', a smaller target_ctx, or "
                "kv_type='q8_0'"
            )
        return placement

    def _room(self, device: Device) -> int:
        """Bytes that a device may take; what was asked for may have all of it."""
        if self.options.gpu_layers != "auto":
            return device.free_bytes if device.total_bytes else 2**62  # it does not say
        room = max(0, device.free_bytes - margin_bytes(device))
        return min(room, self.limit_bytes) if device.is_unified else room

    def _load(self, n_ctx: int, kv_type: KvType) -> Load:
        info, layout, options = self.info, self.info.weights_layout, self.options
        n_layers, n_cells, n_ubatch = len(layout.layers) + 1, padded(n_ctx), options.tokens_at_once
        cache = cache_by_layer(info, n_cells, kv_type, n_ubatch)
        added = sum(adapter.n_bytes for adapter in self.adapters) // n_layers
        return Load(
            weights=tuple((unit_weights(info, i) + added) * self.copies for i in range(n_layers)),
            experts=(*(size * self.copies for size in layout.experts), 0),
            cache=tuple(
                cache[i] * options.kv_on_gpu if i < len(cache) else 0 for i in range(n_layers)
            ),
            compute=compute_bytes(
                info, n_cells, n_ubatch=n_ubatch, is_fused=options.flash_attention != "off"
            ),
            visiting=layout.largest * options.op_offload,
        )

    def reasons(self, n_ctx: int, kv_type: KvType) -> tuple[str, ...]:
        """What was chosen, in words; nothing where there is no GPU to choose."""
        if not self.devices:
            return ()
        placement = self.place(n_ctx, kv_type)
        if self.options.gpu_layers == 0:
            return ("No layer on a GPU, as asked for.",)
        if not placement.shares:
            free = ", ".join(
                f"{d.name} has {format_bytes(d.free_bytes)} free" for d in self.devices
            )
            return (f"No layer on a GPU: none fits with {n_ctx:,} tokens ({free}).",)
        return (
            _placed(placement, self._estimate(n_ctx, kv_type, placement)),
            *self._cost(n_ctx, kv_type, placement),
        )

    def _cost(self, n_ctx: int, kv_type: KvType, placement: Placement) -> tuple[str, ...]:
        """Why not all of it is there."""
        if placement.gpu_layers == placement.n_layers and not placement.expert_layers:
            return ()
        load = self._load(n_ctx, kv_type)
        weights, cache = (format_bytes(max(each)) for each in (load.weights[:-1], load.cache))
        said = f"At {n_ctx:,} tokens a layer takes {weights} of weights"
        said += f" and {cache} of cache." if self.options.kv_on_gpu else "."
        is_open = self.options.gpu_layers == "auto" and self.options.kv_on_gpu
        if kv_type == "f16" and is_open and can_quantize_kv(self.info, self.options) is None:
            with_q8 = self.place(n_ctx, "q8_0")
            if with_q8.gpu_layers > placement.gpu_layers:
                said += f" kv_type='q8_0' would place {with_q8.gpu_layers} layers."
        return (said,)


def _placed(placement: Placement, memory: MemoryEstimate) -> str:
    whose = "with their cache" if placement.kv_on_gpu else "without their cache, as asked for,"
    parts = [
        f"{share.n_layers} of {placement.n_layers} layers {whose} on {share.device.name} "
        f"({share.device.description}): {format_bytes(there.total_bytes)} of "
        f"{format_bytes(there.free_bytes)} free"
        for share, there in zip(placement.shares, memory.places, strict=True)
    ]
    said = "; ".join(parts)
    if n := len(placement.expert_layers):
        said += f"; the experts of {n} layers stay with the processor"
    if left := placement.n_layers - placement.gpu_layers:
        said += f"; the first {left} on the processor"
    return f"{said}."
