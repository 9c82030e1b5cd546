"""Reads string arrays out of a GGUF's header: llama.cpp's API gives scalars only."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path

# Bytes of GGUF's scalar value types by number (ggml's docs/gguf.md); 8 is string, 9 array.
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_U64 = struct.Struct("<Q").unpack_from


def read_string_arrays(path: Path, keys: Collection[str]) -> dict[str, list[bytes]]:
    """Return those of ``keys`` that the file holds as an array of strings.

    The file must be one that llama.cpp has loaded, so its header is known to be sound.

    Args:
        path: a GGUF of version 2 or 3, little endian.
        keys: metadata keys such as ``"tokenizer.ggml.merges"``.

    Returns:
        Key to its strings, raw bytes; keys that are absent or of another type are left out.
    """
    wanted, found = set(keys), {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        (n_keys,) = _U64(data, 16)
        at = 24
        for _ in range(n_keys):
            raw, at = _string(data, at)
            kind = int.from_bytes(data[at : at + 4], "little")
            at += 4
            key = raw.decode("utf-8", "replace")
            if kind == _ARRAY and key in wanted and data[at] == _STRING:
                found[key], at = _strings(data, at)
                if len(found) == len(wanted):
                    break
            else:
                at = _skip(data, at, kind)
    return found


def _string(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    length: int = _U64(data, at)[0]
    end = at + 8 + length
    return data[at + 8 : end], end


def _strings(data: mmap.mmap, at: int) -> tuple[list[bytes], int]:
    (count,) = _U64(data, at + 4)
    at += 12
    out = []
    for _ in range(count):
        value, at = _string(data, at)
        out.append(value)
    return out, at


def _skip(data: mmap.mmap, at: int, kind: int) -> int:
    if kind == _STRING:
        return _string(data, at)[1]
    if kind != _ARRAY:
        return at + _SCALAR_BYTES[kind]
    item = int.from_bytes(data[at : at + 4], "little")
    count: int = _U64(data, at + 4)[0]
    at += 12
    if item in _SCALAR_BYTES:
        return at + count * _SCALAR_BYTES[item]
    for _ in range(count):
        at = _skip(data, at, item)
    return at
