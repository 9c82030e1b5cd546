"""The devices that llama.cpp finds, and what the system says of memory that must not move."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from longctx._native.ggml import device_functions
from longctx._native.library import lib
from longctx.devices import Device, DeviceKind
from longctx.errors import BackendError

_KINDS: dict[int, DeviceKind] = {0: "processor", 1: "gpu", 2: "integrated", 3: "accelerator"}
_PROCESSOR = 0
_NUMA = {"distribute": 1, "isolate": 2, "numactl": 3}
_IPC_LOCK = 14  # Linux's capability to lock memory without a limit


def list_devices() -> tuple[Device, ...]:
    """All that llama.cpp can compute on, with the memory that is free now; empty where this build
    cannot be asked."""
    try:
        ggml = device_functions()
    except (BackendError, OSError):
        return ()
    handles = (ggml["ggml_backend_dev_get"](i) for i in range(ggml["ggml_backend_dev_count"]()))
    return tuple(_describe(ggml, handle) for handle in handles)


def _describe(ggml: dict[str, Any], handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml["ggml_backend_dev_memory"](handle, ctypes.byref(free), ctypes.byref(total))
    backend = _text(ggml["ggml_backend_reg_name"](ggml["ggml_backend_dev_backend_reg"](handle)))
    kind = _KINDS.get(ggml["ggml_backend_dev_type"](handle), "accelerator")
    return Device(
        name=_text(ggml["ggml_backend_dev_name"](handle)),
        description=_text(ggml["ggml_backend_dev_description"](handle)),
        kind=kind,
        free_bytes=free.value,
        total_bytes=total.value,
        backend=backend,
        # Apple's GPUs call themselves discrete, and share all memory.
        is_unified=kind == "integrated" or backend in ("Metal", "MTL"),
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def device_pointer(name: str) -> int:
    """The ``ggml_backend_dev_t`` of a device.

    Raises:
        BackendError: there is none of that name any more.
    """
    handle = device_functions()["ggml_backend_dev_by_name"](name.encode())
    if not handle:
        raise BackendError(f"llama.cpp finds no device {name!r}; plan the window again")
    return int(handle)


def host_buffer_type() -> int:
    """The ``ggml_backend_buffer_type_t`` of the host's memory."""
    ggml = device_functions()
    return int(ggml["ggml_backend_dev_buffer_type"](ggml["ggml_backend_dev_by_type"](_PROCESSOR)))


def spread_over_nodes(numa: str) -> None:
    """Place threads and pages on the machine's nodes from now on; the first call counts."""
    lib.llama_numa_init(_NUMA[numa])


def lock_obstacle(n_bytes: int) -> str | None:
    """Say why so much memory cannot be kept from being swapped out; None where it can, or where
    the system does not say."""
    if not lib.llama_supports_mlock():
        return "this build of llama.cpp cannot lock memory"
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):  # no Linux
        return None
    capabilities = next(
        (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff")), 0
    )
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if capabilities >> _IPC_LOCK & 1 or limit == resource.RLIM_INFINITY or n_bytes <= limit:
        return None
    return (
        f"this process may lock {limit:,} bytes, and the host's part of the weights has "
        f"{n_bytes:,}; raise the limit (`ulimit -l unlimited`, or LimitMEMLOCK= of systemd)"
    )
