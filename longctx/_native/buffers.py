"""What llama.cpp allocates, as its log has it: the one place where it says so for each device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from longctx._native.library import captured_log

BufferUse: TypeAlias = Literal["weights", "cache", "compute", "output"]

_USES: dict[str, BufferUse] = {
    "model": "weights",
    "LoRA": "weights",
    "KV": "cache",
    "RS": "cache",
    "compute": "compute",
    "output": "output",
}
# "load_tensors:        CUDA0 model buffer size =   104.91 MiB"; "RPC0[host:port]" has where it is.
_LINE = re.compile(
    r": +([^\s\[]+)\S* +(model|LoRA|KV|RS|compute|output) buffer size = +([\d.]+) MiB"
)


@dataclass(frozen=True)
class Buffer:
    """One allocation: the memory that it is of (``CUDA0``, ``CPU_Mapped``), and what for."""

    memory: str
    use: BufferUse
    n_bytes: int


@contextmanager
def captured_buffers() -> Iterator[list[Buffer]]:
    """Collect what is allocated meanwhile; the list is filled at the end."""
    found: list[Buffer] = []
    with captured_log() as lines:
        yield found
    found += _buffers(lines)


def _buffers(lines: list[str]) -> Iterator[Buffer]:
    for line in lines:
        if match := _LINE.search(line):
            yield Buffer(match[1], _USES[match[2]], round(float(match[3]) * 2**20))
