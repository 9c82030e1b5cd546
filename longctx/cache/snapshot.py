"""A session in a file: what it was saved of, its tokens, and its keys and values.

Little endian::

    8 bytes  b"longctx1"
    u32      length of the header
    header   JSON: key, RoPE, window, sinks, groups, counts, CRC-32 of what follows
    u32      CRC-32 of the header
    i32[n] tokens, i32[n] positions, i32[m] tokens that slid out or were compressed,
    u8[k] llama.cpp's state, u8[j] which of its composite cells are shielded,
    u8[...] the states of the checkpoints, one after the other
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from longctx._native import build_id
from longctx.backends import Backend
from longctx.cache.checkpoints import Checkpoint
from longctx.cache.compress import METHOD, VERSION
from longctx.errors import BackendError, SnapshotMismatchError
from longctx.files import must_be_file, write_whole
from longctx.planner import CHECKPOINTS
from longctx.prompt import CompressedSpan
from longctx.rope import Groups, RopeConfig
from longctx.types import Frozen

MAGIC = b"longctx1"
_CRC_CHUNK = 1 << 22
Count = Annotated[int, Field(ge=0)]
Number = TypeVar("Number", bound=np.generic)


class DamagedSnapshotError(SnapshotMismatchError):
    """The file is broken: nobody will ever read it, whatever model and window they have."""


class Compression(Frozen):
    """How the middle of a text was thinned: by which method, of which version, to what share."""

    method: str
    version: int
    share: float


class SnapshotKey(Frozen):
    """What a state must have in common with the model that takes it.

    Not the RoPE: keys can be re-rotated. ``build`` is llama.cpp's, whose state format is its own
    business; ``kv_types`` decide the bytes, and so does ``flash_attention``: without it values lie
    across. Where they were computed does not. ``adapters`` are the hashes and scales of the LoRA
    adapters that keys and values were computed with. ``compression`` is None of a text that stands
    whole.
    """

    model_sha256: str
    kv_types: tuple[str, str]
    build: str
    adapters: tuple[tuple[str, float], ...] = ()
    compression: Compression | None = None
    flash_attention: bool = True


class CheckpointSize(Frozen):
    """How many tokens a checkpoint is of, and how many bytes its state has."""

    n_tokens: int = Field(gt=0)
    n_bytes: Count


class SnapshotHeader(Frozen):
    """What is known of a snapshot without reading its keys. Lengths in tokens and bytes.

    Where ``n_compressed`` is None, composite cells were chosen from all tokens that do not stand
    whole. Files of before there were ``checkpoints``, ``spans`` or ``n_exact`` in them have none.
    """

    key: SnapshotKey
    rope: RopeConfig
    n_ctx: Count
    n_keep: Count
    groups: Groups
    shift: int = Field(default=0, ge=0, lt=2**30)  # positions are int32
    n_tokens: Count
    n_dropped: Count
    n_state: Count
    n_composite: Count = 0
    n_compressed: Count | None = None
    n_shields: Count = 0
    spans: tuple[CompressedSpan, ...] = ()
    n_exact: Count | None = None
    checkpoints: tuple[CheckpointSize, ...] = Field(default=(), max_length=CHECKPOINTS)
    crc32: int

    @property
    def n_slid(self) -> int:
        """Tokens of which nothing is left."""
        if self.n_compressed is not None:
            return self.n_dropped - self.n_compressed
        return 0 if self.n_composite else self.n_dropped

    @property
    def n_bytes(self) -> int:
        """Length of what follows the header."""
        numbers = 4 * (2 * self.n_tokens + self.n_dropped)
        return numbers + self.n_state + self.n_shields + sum(c.n_bytes for c in self.checkpoints)

    @model_validator(mode="after")
    def _counts_the_same_text(self) -> SnapshotHeader:
        if self.n_dropped and self.n_keep + self.n_composite > self.n_tokens:
            raise ValueError("it has fewer cells than it says what stands in")
        if max(self.n_composite, self.n_compressed or 0) > self.n_dropped:
            raise ValueError("more is compressed than does not stand whole")
        ends = [each.n_tokens for each in self.checkpoints]
        if ends != sorted(ends) or (ends and ends[-1] > self.n_tokens):
            raise ValueError("its checkpoints are not of its text")
        return self


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session's text and cache.

    Attributes:
        key: what it was saved of.
        rope: the positional encoding of its keys.
        n_ctx: the window in tokens.
        n_keep: attention sinks in tokens.
        groups: of the compressed blocks of Self-Extend.
        shift: how much larger than their indices the positions of cells behind the sinks are.
        tokens: int32[n], in the cache.
        positions: int32[n], where they stand.
        dropped: int32[m], tokens that slid out behind the sinks.
        state: uint8[k], as llama.cpp gave it; empty without tokens.
        n_composite: cells behind the sinks in which each head has tokens of its own.
        n_compressed: tokens that those were chosen from, the last of ``dropped``.
        shields: uint8[j], which of those are kept for ever (:meth:`Composite.pack`).
        spans: passages that were compressed alone and attached.
        n_exact: tokens at the front that are as a prefill makes them; None is all.
        checkpoints: states on the way, of layers that cannot go back to one by themselves.
    """

    key: SnapshotKey
    rope: RopeConfig
    n_ctx: int
    n_keep: int
    groups: Groups
    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    dropped: NDArray[np.int32]
    state: NDArray[np.uint8]
    n_composite: int = 0
    n_compressed: int = 0
    shields: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    spans: tuple[CompressedSpan, ...] = ()
    n_exact: int | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    shift: int = 0


def snapshot_key(backend: Backend, compression: Compression | None = None) -> SnapshotKey:
    """The key of what a backend's sessions save, of a text that was compressed so."""
    plan = backend.plan
    return SnapshotKey(
        model_sha256=backend.info.sha256,
        kv_types=(plan.kv_type_k, plan.kv_type_v),
        build=build_id(),
        adapters=tuple((each.sha256, each.scale) for each in plan.adapters if each.scale),
        compression=compression,
        flash_attention=plan.devices.flash_attention != "off",
    )


def write_snapshot(path: Path, snapshot: Snapshot) -> Path:
    """Write a snapshot, all of it or nothing.

    Raises:
        RequestError: there is a folder, a pipe, a device or a read-only file.
        BackendError: the file cannot be written.
    """
    parts = [
        snapshot.tokens, snapshot.positions, snapshot.dropped, snapshot.state, snapshot.shields,
        *(each.state for each in snapshot.checkpoints),
    ]  # fmt: skip
    payload = [np.ascontiguousarray(part).view(np.uint8) for part in parts]
    header = SnapshotHeader(
        key=snapshot.key,
        rope=snapshot.rope,
        n_ctx=snapshot.n_ctx,
        n_keep=snapshot.n_keep,
        groups=snapshot.groups,
        shift=snapshot.shift,
        n_tokens=len(snapshot.tokens),
        n_dropped=len(snapshot.dropped),
        n_state=len(snapshot.state),
        n_composite=snapshot.n_composite,
        n_compressed=snapshot.n_compressed,
        n_shields=len(snapshot.shields),
        spans=snapshot.spans,
        n_exact=snapshot.n_exact,
        checkpoints=tuple(
            CheckpointSize(n_tokens=each.n_tokens, n_bytes=len(each.state))
            for each in snapshot.checkpoints
        ),
        crc32=_crc32(payload),
    )
    text = header.model_dump_json().encode()
    # The header has a checksum of its own, for whoever looks for a text reads no keys.
    pieces = (MAGIC + struct.pack("<I", len(text)) + text, struct.pack("<I", zlib.crc32(text)))
    try:
        write_whole(path, *pieces, *(part.data for part in payload), parents=True)
    except OSError as error:
        raise BackendError(f"the session cannot be saved as {path}: {error}") from error
    return path


def read_header(path: Path) -> tuple[SnapshotHeader, NDArray[np.int32]]:
    """Read what a snapshot is of, and its text: int32[n_keep sinks, dropped tokens, the rest].

    Raises:
        SnapshotMismatchError: the file is missing, or no snapshot of this version.
        DamagedSnapshotError: it is damaged.
    """
    try:
        must_be_file(path)
        with path.open("rb") as file:
            header = _read_header(file, path)
            n, m = header.n_tokens, header.n_dropped
            tokens = _read_array(file, path, np.int32, n)
            _read_array(file, path, np.int32, n)
            dropped = _read_array(file, path, np.int32, m)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    sinks = header.n_keep if m else 0
    return header, np.concatenate([tokens[:sinks], dropped, tokens[sinks + header.n_composite :]])


def read_snapshot(path: Path, key: SnapshotKey, *, takes_compressed: bool = True) -> Snapshot:
    """Read a snapshot and check every byte of it.

    Args:
        path: where it lies.
        key: what it must be of; how it was compressed is not compared.
        takes_compressed: whether it may have been, by the method and version in use.

    Raises:
        SnapshotMismatchError: it is missing, of another model, KV type or build, or compressed.
        DamagedSnapshotError: it is damaged.
    """
    try:
        must_be_file(path)
        with path.open("rb") as file:
            header = _read_header(file, path)
            _check_key(path, header.key, key)
            if header.key.compression is not None:
                _check_compression(path, header.key.compression, takes_compressed)
            n, m = header.n_tokens, header.n_dropped
            tokens = _read_array(file, path, np.int32, n)
            positions = _read_array(file, path, np.int32, n)
            dropped = _read_array(file, path, np.int32, m)
            state = _read_array(file, path, np.uint8, header.n_state)
            shields = _read_array(file, path, np.uint8, header.n_shields)
            checkpoints = tuple(
                Checkpoint(each.n_tokens, _read_array(file, path, np.uint8, each.n_bytes))
                for each in header.checkpoints
            )
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    payload = [part.view(np.uint8) for part in (tokens, positions, dropped, state, shields)]
    if _crc32([*payload, *(each.state for each in checkpoints)]) != header.crc32:
        raise _damaged(path, "its checksum is wrong")
    return Snapshot(
        key=header.key, rope=header.rope, n_ctx=header.n_ctx, n_keep=header.n_keep,
        groups=header.groups, tokens=tokens, positions=positions, dropped=dropped, state=state,
        n_composite=header.n_composite, n_compressed=m - header.n_slid, shields=shields,
        spans=header.spans, n_exact=header.n_exact, checkpoints=checkpoints, shift=header.shift,
    )  # fmt: skip


def _read_header(file: BinaryIO, path: Path) -> SnapshotHeader:
    begin = file.read(len(MAGIC) + 4)
    if begin[: len(MAGIC)] != MAGIC or len(begin) < len(MAGIC) + 4:
        raise _unreadable(path, "it is no saved session of this version of longctx")
    (length,) = struct.unpack("<I", begin[len(MAGIC) :])
    text = file.read(min(length, 1 << 24))  # of a damaged file the length may be anything
    if file.read(4) != struct.pack("<I", zlib.crc32(text)):
        raise _damaged(path, "its header is damaged")
    try:
        header = SnapshotHeader.model_validate_json(text)
    except ValidationError as error:
        raise _unreadable(path, f"its header has other fields: {error.errors()[0]}") from error
    # Before memory is taken for what it says.
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left < header.n_bytes:
        raise _damaged(path, "it ends too early")
    if left > header.n_bytes:
        raise _damaged(path, "it is longer than its header says")
    return header


def _read_array(file: BinaryIO, path: Path, dtype: type[Number], n: int) -> NDArray[Number]:
    array: NDArray[Number] = np.empty(n, dtype=dtype)
    if file.readinto(array.view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]  # BinaryIO lacks it, every file has it
        raise _damaged(path, "it ends too early")
    return array


def _check_key(path: Path, saved: SnapshotKey, wanted: SnapshotKey) -> None:
    compared = {
        "another model": (saved.model_sha256, wanted.model_sha256),
        "other KV types": ("/".join(saved.kv_types), "/".join(wanted.kv_types)),
        "another llama.cpp build": (saved.build, wanted.build),
        "other LoRA adapters": (_adapters(saved), _adapters(wanted)),
        "another layout of values": (_values(saved), _values(wanted)),
    }
    for what, (have, want) in compared.items():
        if have != want:
            raise SnapshotMismatchError(
                f"{path} was saved with {what} ({_short(have)}, here {_short(want)}); "
                "load it with what it was saved with, or prefill the text again"
            )


def _check_compression(path: Path, saved: Compression, is_taken: bool) -> None:
    if (saved.method, saved.version) != (METHOD, VERSION):
        raise SnapshotMismatchError(
            f"{path} was compressed by {saved.method}, version {saved.version}, and here it is "
            f"{METHOD}, version {VERSION}; prefill the text again"
        )
    if not is_taken:
        raise SnapshotMismatchError(
            f"{path} holds {saved.share:.0%} of its older text, and nobody asked for compression "
            "here; open the model with overflow='compress', or load it as a session"
        )


def _adapters(key: SnapshotKey) -> str:
    return ", ".join(f"{_short(sha256)} at {scale:g}" for sha256, scale in key.adapters) or "none"


def _values(key: SnapshotKey) -> str:
    return f"flash attention {'on' if key.flash_attention else 'off'}"


def _short(text: str) -> str:
    return f"{text[:12]}…" if re.fullmatch("[0-9a-f]{64}", text) else text


def _crc32(parts: list[NDArray[np.uint8]]) -> int:
    crc = 0
    for part in parts:
        for begin in range(0, part.size, _CRC_CHUNK):
            crc = zlib.crc32(part[begin : begin + _CRC_CHUNK].data, crc)
    return crc


def _damaged(path: Path, why: str) -> DamagedSnapshotError:
    return DamagedSnapshotError(f"{path} is damaged ({why}); delete it, prefill the text again")


def _unreadable(path: Path, why: str) -> SnapshotMismatchError:
    return SnapshotMismatchError(f"{path} cannot be read: {why}")
