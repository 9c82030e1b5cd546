"""Loads llama.cpp, keeps its log, and re-quantises files."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# OpenMP reads these once, when libllama loads. Threads that spin until the next tensor's turn make
# two threads twenty times slower than one on a busy machine; but those that sleep at once take
# twice as long to decode on an idle one, for a tensor is often done sooner than a thread wakes. So
# they spin for some 10 µs, and then sleep (benchmarks/waiting.py). GNU's OpenMP alone counts so.
if os.environ.setdefault("OMP_WAIT_POLICY", "passive").lower() == "passive":
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import llama_cpp
from llama_cpp import llama_cpp as lib

from longctx.errors import BackendError

__all__ = [
    "backend_names",
    "build_id",
    "captured_log",
    "cpu_features",
    "last_errors",
    "lib",
    "quantize",
    "sample_now",
    "supports_gpu_offload",
    "trim_memory",
]

logger = logging.getLogger("longctx.llama_cpp")

# ggml_log_level. What llama.cpp warns of (a window past the trained one) we do on purpose, and
# its errors come back as exceptions; the log shows both to who asks for it.
_DEBUG, _INFO, _WARN, _ERROR, _CONTINUED = 1, 2, 3, 4, 5
_LEVELS = {_INFO: logging.DEBUG, _WARN: logging.INFO, _ERROR: logging.INFO}
_recent_errors: deque[str] = deque(maxlen=8)
_captures: dict[int, list[list[str]]] = {}  # by thread
_captures_lock = threading.Lock()
_last_level = 1


@lib.llama_log_callback  # type: ignore[untyped-decorator]  # a ctypes prototype
def _on_log(level: int, text: bytes, _user_data: Any) -> None:
    global _last_level
    line = text.decode("utf-8", "replace").rstrip("\n")
    level = _last_level if level == _CONTINUED else level
    _last_level = level
    with _captures_lock:
        for lines in _captures.get(threading.get_ident(), ()):
            lines.append(line)
    if level >= _INFO and line.strip(" ."):
        if level == _ERROR:
            _recent_errors.append(line)
        logger.log(_LEVELS.get(level, logging.DEBUG), line)


lib.llama_log_set(_on_log, ctypes.c_void_p(0))
lib.llama_backend_init()

# As llama_sampler_sample of ``lib``, but Python's lock is kept. Giving it away for less than a
# millisecond, once a token, lets whoever reads the answers run between the tokens of a batch, when
# the next batch waits for them; they have the time of the whole batch for it.
sample_now = ctypes.PyDLL(lib._lib._name).llama_sampler_sample
sample_now.argtypes = lib.llama_sampler_sample.argtypes
sample_now.restype = lib.llama_sampler_sample.restype

_quantize_lock = threading.Lock()


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Collect what llama.cpp logs in this thread: its own figures (buffer sizes), reasons of
    failure."""
    lines: list[str] = []
    # llama.cpp logs in the thread that opens: two models that are opened at once are kept apart.
    thread = threading.get_ident()
    with _captures_lock:
        _captures.setdefault(thread, []).append(lines)
    try:
        yield lines
    finally:
        with _captures_lock:
            # By identity: two captures that hold the same lines are equal.
            left = [capture for capture in _captures[thread] if capture is not lines]
            if left:
                _captures[thread] = left
            else:
                del _captures[thread]


def last_errors() -> str:
    """Return and forget what llama.cpp last complained of."""
    text = "; ".join(_recent_errors)
    _recent_errors.clear()
    return text or "llama.cpp gave no reason"


def build_id() -> str:
    """Name the llama.cpp build, as a key for saved states."""
    version = lib.llama_version() if hasattr(lib, "llama_version") else b""
    text = version.decode() if isinstance(version, bytes) else str(version or "")
    return f"llama-cpp-python {llama_cpp.__version__} {text}".strip()


def backend_names() -> tuple[str, ...]:
    """What this build computes with, such as ``CPU``, ``CUDA``, ``Metal`` or ``Vulkan``."""
    return tuple(re.findall(r"(?:^|\| )(\w+) : ", _system_info()))


def cpu_features() -> tuple[str, ...]:
    """What this build makes of the processor, such as ``AVX2`` and ``OPENMP``, as it says."""
    return tuple(re.findall(r"(\w+) = 1\b", _system_info()))


def _system_info() -> str:
    """Each backend's name, a colon, and its features: ``CPU : AVX2 = 1 | OPENMP = 1 |``."""
    return (lib.llama_print_system_info() or b"").decode("utf-8", "replace")


def trim_memory() -> None:
    """Give memory that was freed back to the system, where the C library keeps it (glibc)."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def supports_gpu_offload() -> bool:
    """Whether this build can place layers on a GPU."""
    return bool(lib.llama_supports_gpu_offload())


_FILE_TYPES = {"q8_0": 7, "f16": 1, "bf16": 32, "f32": 0, "q4_0": 2}


def quantize(source: Path, target: Path, file_type: str = "q8_0", n_threads: int = 0) -> None:
    """Write ``source`` again in another weight type (re-quantising is allowed).

    Raises:
        BackendError: the type is unknown or llama.cpp refuses.
    """
    if file_type not in _FILE_TYPES:
        raise BackendError(f"file type {file_type!r} is unknown; use one of {sorted(_FILE_TYPES)}")
    params = lib.llama_model_quantize_default_params()
    params.ftype = _FILE_TYPES[file_type]
    params.allow_requantize = True
    params.nthread = n_threads
    with _quantize_lock:
        status = lib.llama_model_quantize(
            os.fsencode(source), os.fsencode(target), ctypes.byref(params)
        )
    if status != 0:
        raise BackendError(f"llama.cpp could not write {target} as {file_type}: {last_errors()}")
