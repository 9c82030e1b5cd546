"""llama.cpp's own conversions between KV types and float32.

numpy converts half precision at about 2 ns a number, holding the interpreter; ggml's vector
code runs at the speed of memory and lets other threads work.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx._native.library import lib
from longctx.errors import UnsupportedModelError

_Convert = Callable[[int, int, int], None]


@dataclass(frozen=True)
class NumberType:
    """How one KV type stores numbers: ``block`` of them in ``block_bytes`` bytes."""

    name: str
    block: int
    block_bytes: int
    _up: str
    _down: str

    def n_bytes(self, n: int) -> int:
        """Bytes of ``n`` numbers, a multiple of ``block``."""
        return n // self.block * self.block_bytes

    def read(self, source: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Decode uint8[n_bytes(out.size)] into contiguous float32."""
        self._check(source, out)
        _function(self._up)(source.ctypes.data, out.ctypes.data, out.size)

    def write(self, values: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
        """Encode contiguous float32 into uint8[n_bytes(values.size)]."""
        self._check(out, values)
        _function(self._down)(values.ctypes.data, out.ctypes.data, values.size)

    def _check(self, raw: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
        # These are raw pointers: a wrong size here would be a crash there.
        fits = raw.size == self.n_bytes(values.size) and values.size % self.block == 0
        if not (fits and raw.flags.c_contiguous and values.flags.c_contiguous):
            raise ValueError(f"{raw.size} bytes are not {values.size} numbers of {self.name}")


_TYPES = {
    "f32": NumberType("f32", 1, 4, "ggml_cpu_fp32_to_fp32", "ggml_cpu_fp32_to_fp32"),
    "f16": NumberType("f16", 1, 2, "ggml_cpu_fp16_to_fp32", "ggml_cpu_fp32_to_fp16"),
    "bf16": NumberType("bf16", 1, 2, "ggml_cpu_bf16_to_fp32", "ggml_cpu_fp32_to_bf16"),
    "q8_0": NumberType("q8_0", 32, 34, "dequantize_row_q8_0", "quantize_row_q8_0"),
    "q4_0": NumberType("q4_0", 32, 18, "dequantize_row_q4_0", "quantize_row_q4_0"),
}


def number_type(name: str) -> NumberType:
    """Look a KV type up.

    Raises:
        UnsupportedModelError: longctx cannot rewrite keys of that type.
    """
    if name not in _TYPES:
        raise UnsupportedModelError(
            f"keys of type {name} cannot be rewritten; use one of {', '.join(_TYPES)}"
        )
    return _TYPES[name]


@cache
def _function(name: str) -> _Convert:
    # The symbols live in libraries that libllama links; its handle finds them.
    function: Any = getattr(lib._lib, name)
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function.restype = None
    return function  # type: ignore[no-any-return]  # a ctypes function
