"""Where a model runs: the devices that a machine has, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, TypeAlias, get_args

from longctx import arguments
from longctx.errors import RequestError
from longctx.types import Frozen

DeviceKind: TypeAlias = Literal["gpu", "integrated", "accelerator", "processor"]
FlashAttention: TypeAlias = Literal["auto", "on", "off"]
Numa: TypeAlias = Literal["distribute", "isolate", "numactl"]

N_BATCH = 512
"""Tokens of a batch where nobody says otherwise."""
LEAST_BATCH = 64
"""Each of the 32 texts of a context may have a token in it."""
_MOST_BATCH = 2**16
_INT32 = 2**31 - 1


class Device(Frozen):
    """What llama.cpp can compute on, as it reports it.

    ``name`` is llama.cpp's (``CUDA0``, ``Vulkan1``, ``Metal``, ``CPU``), ``description`` the
    maker's, ``backend`` the part of llama.cpp that runs it. An ``integrated`` GPU has the host's
    memory, an ``accelerator`` helps the processor (BLAS, AMX) and holds nothing. ``free_bytes`` is
    0 where the device does not say.
    """

    name: str
    description: str
    kind: DeviceKind
    free_bytes: int
    total_bytes: int
    backend: str = ""
    is_unified: bool = False

    @property
    def memory(self) -> str:
        """How much is free, in words."""
        if not self.total_bytes:
            return "which does not say what is free"
        gib = 2**30
        shared = ", shared with the processor" if self.is_unified else ""
        free, total = self.free_bytes / gib, self.total_bytes / gib
        return f"{free:.1f} GiB free of {total:.1f} GiB{shared}"

    @property
    def takes_layers(self) -> bool:
        """Whether layers can be placed on it."""
        return self.kind in ("gpu", "integrated")


@dataclass(frozen=True)
class DeviceOptions:
    """How a model is fitted to the machine; what is left out is chosen.

    Args:
        gpu_layers: layers to place on GPUs, the output counted as one: ``"auto"`` is as many as
            fit, the last first; ``"all"`` (or -1) must fit; 0 is none.
        tensor_split: shares of those layers, one for each GPU, such as ``(3, 1)``; by default as
            their free memory is.
        main_gpu: the one GPU to use, by its number in ``longctx doctor``; by default all that are
            needed.
        kv_on_gpu: keys and values lie where their layer does; else in the host's memory.
        experts_on_cpu: of a mixture of experts, in how many layers, the first first, the experts
            stay with the processor: ``"auto"`` is as few as fit, ``"all"`` every layer.
        n_batch: tokens that are sent to llama.cpp at once, at most.
        n_ubatch: tokens that it computes at once; None is as many, 512 at most. More take larger
            buffers.
        flash_attention: ``"auto"`` is on where the devices can; without it buffers grow with the
            window, and values cannot be quantised.
        mmap: map the file, so that its pages are shared and can be given back, or read it; None
            maps it where the devices can be filled from it.
        mlock: keep what the host holds of the weights from being swapped out.
        numa: how threads and pages lie on several nodes (``"distribute"``, ``"isolate"``,
            ``"numactl"``); for the whole process, and the first model's counts.
        op_offload: let a GPU compute large batches of layers whose weights the host holds.

    Raises:
        RequestError: a value is none of these.
    """

    gpu_layers: int | Literal["auto", "all"] = "auto"
    tensor_split: tuple[float, ...] | None = None
    main_gpu: int | None = None
    kv_on_gpu: bool = True
    experts_on_cpu: int | Literal["auto", "all"] = "auto"
    n_batch: int = N_BATCH
    n_ubatch: int | None = None
    flash_attention: FlashAttention = "auto"
    mmap: bool | None = None
    mlock: bool = False
    numa: Numa | None = None
    op_offload: bool = True

    def __post_init__(self) -> None:
        put = object.__setattr__  # as frozen dataclasses have it
        put(self, "gpu_layers", layers("gpu_layers", self.gpu_layers))
        put(self, "experts_on_cpu", layers("experts_on_cpu", self.experts_on_cpu))
        put(self, "tensor_split", _split(self.tensor_split))
        if self.main_gpu is not None:
            put(self, "main_gpu", arguments.whole("main_gpu", self.main_gpu, least=0, most=_INT32))
        if self.main_gpu is not None and self.tensor_split is not None:
            raise RequestError(
                "main_gpu names one GPU, and tensor_split shares the layers among several: "
                "pass one of them"
            )
        for name in ("kv_on_gpu", "mlock", "op_offload"):
            arguments.flag(name, getattr(self, name))
        if self.mmap is not None:
            arguments.flag("mmap", self.mmap)
        batch = arguments.whole("n_batch", self.n_batch, least=LEAST_BATCH, most=_MOST_BATCH)
        put(self, "n_batch", batch)
        if self.n_ubatch is not None:
            put(self, "n_ubatch", arguments.whole("n_ubatch", self.n_ubatch, least=32, most=batch))
        arguments.one_of("flash_attention", self.flash_attention, get_args(FlashAttention))
        if self.numa is not None:
            arguments.one_of("numa", self.numa, get_args(Numa))

    @property
    def tokens_at_once(self) -> int:
        """``n_ubatch``, or its default."""
        return min(self.n_batch, N_BATCH) if self.n_ubatch is None else self.n_ubatch

    @classmethod
    def of(cls, devices: Any, n_gpu_layers: Any) -> DeviceOptions:
        """What ``devices=`` and its shorthand ``n_gpu_layers=`` say together.

        Raises:
            RequestError: they are of another type, or both are given.
        """
        if devices is None:
            if n_gpu_layers is None:
                return cls()
            return cls(gpu_layers=layers("n_gpu_layers", n_gpu_layers))
        if not isinstance(devices, cls):
            raise RequestError(
                f"devices is a {type(devices).__name__}; pass DeviceOptions(gpu_layers=...)"
            )
        if n_gpu_layers is not None:
            raise RequestError(
                "n_gpu_layers is short for devices=DeviceOptions(gpu_layers=...): pass one of them"
            )
        return devices


def layers(name: str, value: Any) -> int | Literal["auto", "all"]:
    """A number of layers, or a word for one; -1 is ``"all"``, and digits a number.

    Raises:
        RequestError: it is neither.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("auto", "all"):
            return "auto" if text == "auto" else "all"
        value = int(text) if text.removeprefix("-").isdecimal() else value
    if isinstance(value, Integral) and not isinstance(value, bool) and -1 <= int(value) <= _INT32:
        return int(value) if int(value) >= 0 else "all"
    raise RequestError(f"{name} is {value!r}; use 'auto', 'all', or a whole number from 0 on")


def _split(given: Any) -> tuple[float, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise RequestError(f"tensor_split is {given!r}; pass a share for each GPU, such as (3, 1)")
    shares = tuple(arguments.real("tensor_split", share, least=0) for share in given)
    if not any(shares):
        raise RequestError(f"tensor_split is {given!r}; one share at least must be above 0")
    return shares
