"""The functions of ggml below llama.cpp: its devices, and what it says before it aborts."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

# By way of library, never itself: that says how threads wait before llama.cpp loads.
from longctx._native.library import lib
from longctx.errors import BackendError

# llama_cpp binds llama.h alone; these are of ggml-backend.h. A pointer is a pointer here.
_PROTOTYPES: dict[str, tuple[list[Any], Any]] = {
    "ggml_backend_dev_count": ([], ctypes.c_size_t),
    "ggml_backend_dev_get": ([ctypes.c_size_t], ctypes.c_void_p),
    "ggml_backend_dev_by_name": ([ctypes.c_char_p], ctypes.c_void_p),
    "ggml_backend_dev_by_type": ([ctypes.c_int], ctypes.c_void_p),
    "ggml_backend_dev_name": ([ctypes.c_void_p], ctypes.c_char_p),
    "ggml_backend_dev_description": ([ctypes.c_void_p], ctypes.c_char_p),
    "ggml_backend_dev_type": ([ctypes.c_void_p], ctypes.c_int),
    "ggml_backend_dev_memory": (
        [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)],
        None,
    ),
    "ggml_backend_dev_backend_reg": ([ctypes.c_void_p], ctypes.c_void_p),
    "ggml_backend_reg_name": ([ctypes.c_void_p], ctypes.c_char_p),
    "ggml_backend_dev_buffer_type": ([ctypes.c_void_p], ctypes.c_void_p),
}


@cache
def device_functions() -> dict[str, Any]:
    """The functions of devices, by their names.

    Raises:
        BackendError: this build of llama.cpp lacks one.
    """
    return {name: ggml_function(name, *types) for name, types in _PROTOTYPES.items()}


def ggml_function(name: str, arguments: list[Any], result: Any) -> Any:
    """One function, from whichever of ggml's libraries has it.

    Raises:
        BackendError: none has.
    """
    folder = os.environ.get("LLAMA_CPP_LIB_PATH") or Path(lib.__file__).parent / "lib"
    libraries = [_library(Path(folder), library) for library in ("ggml", "ggml-base")]
    function = next((f for each in libraries if (f := getattr(each, name, None))), None)
    if function is None:
        raise BackendError(f"ggml's libraries in {folder} have no {name}")
    function.argtypes, function.restype = arguments, result
    return function


def _library(folder: Path, name: str) -> ctypes.CDLL | None:
    for file in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll", f"lib{name}.dll"):
        if (path := folder / file).exists():
            return ctypes.CDLL(str(path))
    return None
