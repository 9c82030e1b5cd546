"""Where llama.cpp puts a model's weights, and how it reads them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from longctx._native.devices import device_pointer, host_buffer_type
from longctx._native.library import lib

# llama_load_mode and llama_split_mode.
_READ, _MAP, _READ_LOCKED, _MAP_LOCKED = range(4)
_SPLIT_NONE, _SPLIT_LAYER = 0, 1


@dataclass(frozen=True)
class ModelParams:
    """What llama.cpp is told when it loads a model.

    Attributes:
        devices: names of those that get layers, in their order; () is the processor alone, None
            what llama.cpp would choose itself.
        gpu_layers: layers that they get, the last first and the output counted as one; -1 is all.
        split: how many of them each device gets; () is by free memory.
        expert_layers: layers whose experts stay in the host's memory all the same.
        mmap: map the file; None is what the devices bear.
        mlock: keep the host's part from being swapped out.
    """

    devices: tuple[str, ...] | None = None
    gpu_layers: int = -1
    split: tuple[float, ...] = ()
    expert_layers: tuple[int, ...] = ()
    mmap: bool | None = None
    mlock: bool = False

    def apply(self, native: Any) -> tuple[object, ...]:
        """Fill in llama.cpp's own structure.

        Returns:
            What it points at; hold it until the model is loaded.

        Raises:
            BackendError: a device is not there any more.
        """
        native.n_gpu_layers = self.gpu_layers
        if self.mmap is not None or self.mlock:
            maps = self.mmap is not False
            native.load_mode = (_READ, _MAP, _READ_LOCKED, _MAP_LOCKED)[maps + 2 * self.mlock]
        held: list[object] = []
        if self.devices is not None:
            pointers = [device_pointer(name) for name in self.devices]
            devices = (ctypes.c_void_p * (len(pointers) + 1))(*pointers, None)
            native.devices = ctypes.cast(devices, ctypes.c_void_p)
            native.split_mode = _SPLIT_LAYER if len(pointers) > 1 else _SPLIT_NONE
            # With one device or none there is nothing to choose; -1 is none of them.
            native.main_gpu = 0 if pointers else -1
            held.append(devices)
        if self.split:
            shares = (ctypes.c_float * int(lib.llama_max_devices()))(*self.split)
            native.tensor_split = ctypes.cast(shares, ctypes.POINTER(ctypes.c_float))
            held.append(shares)
        if self.expert_layers:
            numbers = "|".join(map(str, self.expert_layers))
            pattern = rf"^blk\.({numbers})\.ffn_(up|down|gate|gate_up)_(ch|)exps".encode()
            overrides = (_Override * 2)(_Override(pattern, host_buffer_type()), _Override())
            native.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
            held += [overrides, pattern]
        return tuple(held)


class _Override(ctypes.Structure):
    """``llama_model_tensor_buft_override``: tensors whose name matches go to this memory."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))
