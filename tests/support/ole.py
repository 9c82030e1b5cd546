"""Writes OLE files (compound file binary, version 3), which no library in the tests does."""

from __future__ import annotations

import struct

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def ole_file(streams: dict[str, bytes]) -> bytes:
    """A file with these streams; ``folder/name`` stands in a storage."""
    folders = sorted({name.partition("/")[0] for name in streams if "/" in name})
    names = ["Root Entry", *folders, *streams]
    entries: list[bytearray] = []
    body, fat = b"", [_FAT]
    n_directory = -(-len(names) * 128 // _SECTOR)
    fat += [*range(2, n_directory + 1), _END]
    starts: dict[str, int] = {}
    for name, data in streams.items():
        n = max(1, -(-len(data) // _SECTOR))
        starts[name] = len(fat)
        fat += [*range(len(fat) + 1, len(fat) + n), _END]
        body += data.ljust(n * _SECTOR, b"\x00")
    children = {"Root Entry": folders + [name for name in streams if "/" not in name]}
    children |= {f: [name for name in streams if name.startswith(f"{f}/")] for f in folders}
    sibling = {a: b for kids in children.values() for a, b in zip(kids, kids[1:], strict=False)}
    for i, name in enumerate(names):
        encoded = name.rpartition("/")[2].encode("utf-16-le") + b"\x00\x00"
        kind = 5 if not i else 1 if name in folders else 2
        kids = children.get(name, [])
        entry = bytearray(128)
        entry[: len(encoded)] = encoded
        struct.pack_into("<HBB", entry, 64, len(encoded), kind, 1)
        following = names.index(sibling[name]) if name in sibling else _FREE
        first = names.index(kids[0]) if kids else _FREE
        struct.pack_into("<III", entry, 68, _FREE, following, first)
        size = len(streams.get(name, b""))
        struct.pack_into("<IQ", entry, 116, starts.get(name, _END), size)
        entries.append(entry)
    directory = b"".join(entries).ljust(n_directory * _SECTOR, b"\x00")
    assert len(fat) <= _SECTOR // 4, "one sector of FAT is enough for tests"
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(_SECTOR, b"\xff")
    header = bytearray(_SECTOR)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    # No stream is small: those would stand in a stream of their own.
    struct.pack_into("<IIIIIIIII", header, 44, 1, 1, 0, 0, _END, 0, _END, 0, 0)
    header[76:] = struct.pack("<I", 0).ljust(_SECTOR - 76, b"\xff")
    return bytes(header) + table + directory + body
