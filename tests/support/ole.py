"""Writes OLE files (compound file binary, version 3), which no library of the tests does."""

from __future__ import annotations

import struct
from itertools import pairwise

_SECTOR, _MINI, _CUTOFF = 512, 64, 4096
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_ROOT = "Root Entry"


class _Sectors:
    """Data in sectors, and the table that chains them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = b""
        self.table: list[int] = []

    def add(self, data: bytes) -> int:
        """Append a chain; its first sector."""
        first, n = len(self.table), max(1, -(-len(data) // self.size))
        self.table += [*range(first + 1, first + n), _END]
        self.data += data.ljust(n * self.size, b"\x00")
        return first


def ole_file(streams: dict[str, bytes]) -> bytes:
    """A file with these streams; ``folder/name`` stands in a storage."""
    sectors, small = _Sectors(_SECTOR), _Sectors(_MINI)
    sectors.table, sectors.data = [_FAT], b"\x00" * _SECTOR
    starts = {
        name: (small if len(data) < _CUTOFF else sectors).add(data)
        for name, data in streams.items()
    }
    sizes = {name: len(data) for name, data in streams.items()}
    starts[_ROOT], sizes[_ROOT] = sectors.add(small.data), len(small.data)
    mini_table = sectors.add(_numbers(small.table).ljust(_SECTOR, b"\xff"))
    directory = sectors.add(_directory(streams, starts, sizes))
    assert len(sectors.table) <= _SECTOR // 4, "one sector of FAT is enough for tests"
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, 1, directory, 0, _CUTOFF, mini_table, 1, _END, 0, 0,
    )  # fmt: skip
    table = _numbers(sectors.table).ljust(_SECTOR, b"\xff")
    return header.ljust(_SECTOR, b"\xff") + table + sectors.data[_SECTOR:]


def _directory(streams: dict[str, bytes], starts: dict[str, int], sizes: dict[str, int]) -> bytes:
    folders = sorted({name.partition("/")[0] for name in streams if "/" in name})
    names = [_ROOT, *folders, *streams]
    children = {_ROOT: [*folders, *(name for name in streams if "/" not in name)]}
    children |= {f: [name for name in streams if name.startswith(f"{f}/")] for f in folders}
    following = {a: names.index(b) for kids in children.values() for a, b in pairwise(kids)}
    entries = b""
    for name in names:
        encoded = name.rpartition("/")[2].encode("utf-16-le") + b"\x00\x00"
        kind = 5 if name == _ROOT else 1 if name in folders else 2
        kids = children.get(name, [])
        entries += struct.pack(
            "<64sHBBIII36xIQ",
            encoded, len(encoded), kind, 1, _FREE, following.get(name, _FREE),
            names.index(kids[0]) if kids else _FREE, starts.get(name, _END), sizes.get(name, 0),
        )  # fmt: skip
    return entries


def _numbers(table: list[int]) -> bytes:
    return struct.pack(f"<{len(table)}I", *table)
