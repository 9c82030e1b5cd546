"""What stands in front of the weights of a GGUF: typed metadata and the list of tensors.

A small reader of our own, because neither of the other two will do. llama.cpp with
``vocab_only`` answers scalar keys only: no arrays (per-layer head counts, sliding-window
patterns), no tensors (``rope_freqs.weight``, truncation), and some malformed values abort the
process. ``gguf.GGUFReader`` makes a Python object of every vocabulary entry: 3 s on 49k tokens.
This one maps the file, steps over string arrays without decoding them, and checks every
length against the file's size before it believes it, so a damaged header costs no memory.

It does *not* read weights, write files, or read big-endian and version 1 files (it names them).
Format: ggml's ``docs/gguf.md``, versions 2 and 3, little endian.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from longctx.errors import ModelFileError, UnsupportedModelError

Value: TypeAlias = int | float | bool | str | tuple[Any, ...]
"""A metadata value. Arrays of numbers up to 4,096 items are kept, longer ones (scores, token
types) and arrays of strings (the vocabulary) only counted: see :attr:`GgufHeader.array_lengths`."""

MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_SCALARS = {number: struct.Struct("<" + code) for number, code in _FORMATS.items()}
_KEPT_ITEMS = 4096
_MAX_ITEMS = 1 << 24  # sixty times the largest vocabulary; bounds the walk over a damaged count

# Tensor type number: (name, elements in a block, bytes of a block), from ggml's type table.
_TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip

_LOOKS_LIKE = (
    (b"PK\x03\x04", "a ZIP archive (a PyTorch checkpoint is one)"),
    (b"ggjt", "a GGML file of 2023, from before GGUF"),
    (b"tjgg", "a GGML file of 2023, from before GGUF"),
    (b"lmgg", "a GGML file of 2023, from before GGUF"),
    (b"fmgg", "a GGML file of 2023, from before GGUF"),
    (b"version https://git-lfs", "a Git LFS pointer: the text in place of the file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: its shape (fastest dimension first), type, and place in the file (bytes)."""

    shape: tuple[int, ...]
    type: str
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class GgufHeader:
    """Everything but the weights.

    ``array_lengths`` holds the number of items of every array, kept or not; ``file_bytes`` the
    size of the file.
    """

    path: Path
    metadata: dict[str, Value]
    array_lengths: dict[str, int]
    tensors: dict[str, TensorInfo]
    file_bytes: int

    @property
    def n_bytes(self) -> int:
        """Bytes up to the end of the last tensor, where the file ends if it is but one."""
        return max((tensor.offset + tensor.n_bytes for tensor in self.tensors.values()), default=0)

    def read_f32(self, name: str) -> tuple[float, ...] | None:
        """Read a small f32 tensor (RoPE's frequency factors); None where there is none, or where
        the file's head alone is there.

        Raises:
            ModelFileError: the tensor is of another type.
        """
        info = self.tensors.get(name)
        if info is None or info.offset + info.n_bytes > self.file_bytes:
            return None
        if info.type != "F32":
            raise ModelFileError(
                f"{self.path}: {name} has tensor type {info.type} where F32 is due; "
                "convert the model again"
            )
        with self.path.open("rb") as file:
            file.seek(info.offset)
            return tuple(np.frombuffer(file.read(info.n_bytes), dtype="<f4").tolist())


def read_header(path: Path, *, whole: bool = True) -> GgufHeader:
    """Read a GGUF's header.

    Args:
        path: the file.
        whole: whether its weights must be there, too; a head alone has what a download begins
            with.

    Raises:
        ModelFileError: there is no such file, it is no GGUF that we can read, or it is truncated
            (in the header, or in the weights that the header announces).
        UnsupportedModelError: a tensor is of a type that is newer than this version.
    """
    try:
        if not path.exists():
            raise ModelFileError(
                f"there is no file {path}: check the path. A model is a .gguf file, hf:owner/repo "
                "of Hugging Face, or ollama:name; `longctx models` lists those on this machine"
            )
        if path.is_dir():
            raise ModelFileError(
                f"{path} is a directory: pass the .gguf file in it"
                f"{_first_gguf(path)} (a Hugging Face folder must be converted to GGUF first)"
            )
        size = path.stat().st_size
        if size == 0:
            raise ModelFileError(f"{path} is empty (0 bytes): download it again")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path, whole=whole).header()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte, an unmappable file
        raise ModelFileError(f"{path} cannot be read: {error}") from error


def _first_gguf(folder: Path) -> str:
    found = sorted(folder.glob("*.gguf"))
    return f", such as {found[0].name}" if found else ""


class _Reader:
    """A cursor over the mapped file; every read is checked against its end."""

    def __init__(self, data: mmap.mmap, path: Path, *, whole: bool) -> None:
        self.data = data
        self.path = path
        self.whole = whole
        self.size = len(data)
        self.at = 0
        self.array_lengths: dict[str, int] = {}

    def header(self) -> GgufHeader:
        n_tensors, n_keys = self._preamble()
        metadata: dict[str, Value] = {}
        for _ in range(n_keys):
            key = self._string()
            value = self._value(key, self._scalar(4))
            if value is not None:
                metadata[key] = value
        tensors = self._tensors(n_tensors, metadata)
        return GgufHeader(self.path, metadata, self.array_lengths, tensors, self.size)

    def _preamble(self) -> tuple[int, int]:
        if self.data[:4] != MAGIC:
            raise ModelFileError(
                f"{self.path} is not a GGUF: it {_describe(self.data[:64])}. "
                "longctx reads GGUF files; convert the model with llama.cpp's "
                "convert_hf_to_gguf.py, or download its GGUF"
            )
        self.at = 4
        version = self._scalar(4)
        if version in (0x02000000, 0x03000000):
            raise ModelFileError(
                f"{self.path} is a big-endian GGUF (made for s390x or the like): convert it with "
                "`gguf-convert-endian FILE little`"
            )
        if version == 1:
            raise ModelFileError(
                f"{self.path} is GGUF version 1 of August 2023, which llama.cpp no longer reads: "
                "convert the model again, or download a newer file"
            )
        if version not in (2, 3):
            raise ModelFileError(
                f"{self.path} says GGUF version {version}; versions 2 and 3 are known. Either the "
                "file is damaged, or longctx is older than it"
            )
        n_tensors, n_keys = self._scalar(10), self._scalar(10)
        # The shortest tensor entry has 32 bytes, the shortest key 13.
        if n_tensors * 32 + n_keys * 13 > self.size:
            raise self._truncated(f"it announces {n_keys:,} keys and {n_tensors:,} tensors")
        return n_tensors, n_keys

    def _value(self, key: str, kind: int) -> Value | None:
        """Read a value; None for an array that is counted only."""
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise self._damaged(f"key {key!r} has value type {kind}, which does not exist")
        return self._scalar(kind)  # type: ignore[no-any-return]  # its type is the file's to say

    def _scalar(self, kind: int) -> Any:
        layout = _SCALARS[kind]
        if self.at + layout.size > self.size:
            raise self._truncated("it ends within its header")
        (value,) = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return value

    def _string(self) -> str:
        length = self._scalar(10)
        if length > self.size - self.at:
            raise self._truncated(f"a text of {length:,} bytes begins at byte {self.at:,}")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def _array(self, key: str) -> tuple[Any, ...] | None:
        kind, count = self._scalar(4), self._scalar(10)
        if kind != _STRING and kind not in _SCALARS:
            raise self._damaged(f"array {key!r} has items of type {kind}, which does not exist")
        item = 8 if kind == _STRING else _SCALARS[kind].size
        if count > _MAX_ITEMS or count * item > self.size - self.at:
            raise self._truncated(f"array {key!r} announces {count:,} items")
        self.array_lengths[key] = count
        if kind == _STRING:
            self._skip_strings(count)
            return None
        start, self.at = self.at, self.at + count * item
        if count > _KEPT_ITEMS:
            return None
        return struct.unpack_from(f"<{count}{_FORMATS[kind]}", self.data, start)

    def _skip_strings(self, count: int) -> None:
        read_length, data, at = _SCALARS[10].unpack_from, self.data, self.at
        try:
            for _ in range(count):
                at += 8 + read_length(data, at)[0]
        except (struct.error, OverflowError):
            raise self._truncated("its vocabulary ends early") from None
        if at > self.size:
            raise self._truncated("its vocabulary ends early")
        self.at = at

    def _tensors(self, count: int, metadata: dict[str, Value]) -> dict[str, TensorInfo]:
        entries = [self._tensor_entry() for _ in range(count)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self._damaged(f"general.alignment is {alignment!r}, not a power of 2")
        start = -(-self.at // alignment) * alignment
        tensors = {name: replace(info, offset=start + info.offset) for name, info in entries}
        end = max((tensor.offset + tensor.n_bytes for tensor in tensors.values()), default=0)
        if self.whole and end > self.size:
            raise self._truncated(f"its tensors need {end:,} bytes")
        return tensors

    def _tensor_entry(self) -> tuple[str, TensorInfo]:
        """Read one entry; its offset is still that from the beginning of the weights."""
        name, n_dims = self._string(), self._scalar(4)
        if not 1 <= n_dims <= 4:
            raise self._damaged(f"tensor {name!r} has {n_dims} dimensions; 1 to 4 exist")
        shape = tuple(self._scalar(10) for _ in range(n_dims))
        kind, offset = self._scalar(4), self._scalar(10)
        if kind not in _TENSOR_TYPES:
            raise UnsupportedModelError(
                f"{self.path}: tensor {name!r} has type {kind}, a number format that this version "
                "does not know; a newer longctx and llama-cpp-python may. If the model is an old "
                "one, the file is damaged: download it again"
            )
        type_name, block, block_bytes = _TENSOR_TYPES[kind]
        n_elements = 1
        for extent in shape:
            n_elements *= extent
        if shape[0] % block:
            raise self._damaged(f"tensor {name!r} has rows of {shape[0]}, no multiple of {block}")
        return name, TensorInfo(shape, type_name, offset, n_elements // block * block_bytes)

    def _truncated(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"{self.path} is truncated or damaged: {what}, and the file has {self.size:,} bytes. "
            "Compare its size with the original's, or download it again"
        )

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path} is damaged: {what}. Download it again")


def _describe(head: bytes) -> str:
    """Say what a file that is no GGUF begins like."""
    for magic, name in _LOOKS_LIKE:
        if head.startswith(magic):
            return f"looks like {name}"
    # safetensors: u64 length of a JSON header, then the header.
    if head[8:10] in (b'{"', b"{ ") and int.from_bytes(head[:8], "little") < 1 << 30:
        return "looks like a safetensors file"
    return f"begins with {head[:4]!r}"
