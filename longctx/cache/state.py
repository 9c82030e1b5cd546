"""Codec of llama.cpp's sequence state: where the positions and the keys stand in its bytes.

Little endian, as ``llama_kv_cache::state_write`` and its callers write it (state version 3)::

    u32 magic, i32 seq_id
    once, or twice in sliding-window models (layers with the full window, then the others):
        u32 n_stream = 1, u32 n_cells
        nothing more if n_cells is 0, else
        n_cells x (i32 position, u32 n_seq_id = 1, i32 seq_id)
            M-RoPE has i32 x, y, token before seq_id; of a text x and y are the position
        u32 v_trans, u32 n_layer
        n_layer x (i32 K type, u64 row bytes, n_cells rows of [n_head_kv, head_dim])
        n_layer x (i32 V type, u64 row bytes, n_cells rows)                 if v_trans is 0
        n_layer x (i32 V type, u32 value bytes, u32 n, n x n_cells values)  if v_trans is 1
        MLA has no values; its K row is [compressed, rotated]
    the recurrent state, where there are such layers

What differs is refused, a recurrent state without attention layers among it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx._native import KV_TYPES, number_type
from longctx.cache.key_rows import KeyRows
from longctx.errors import SnapshotMismatchError
from longctx.model_info import ModelInfo

MAGIC = 0xAF143CD8
_TYPE_NAMES = {number: name for name, number in KV_TYPES.items()}
_CELL_FIELDS = 3
_MROPE_FIELDS = 3  # x, y, token
COUNT_OFFSET = 12
"""Of the number of cells of the first cache, behind magic, sequence and number of streams."""


@dataclass(frozen=True)
class StateShape:
    """What an architecture's states have that their bytes do not say.

    Attributes:
        has_mrope: cells have two positions more, and the token.
        has_values: V rows follow the K rows; not in MLA.
        is_recurrent: a recurrent state follows the caches.
        n_caches: KV caches; None is one or two, as many as there are.
    """

    has_mrope: bool = False
    has_values: bool = True
    is_recurrent: bool = False
    n_caches: int | None = None

    @classmethod
    def of(cls, info: ModelInfo) -> StateShape:
        """The shape of a model's states."""
        return cls(
            has_mrope=info.rope_type == "mrope",
            has_values="mla" not in info.layer_kinds,
            is_recurrent=any(layer.state_elements for layer in info.layers),
            n_caches=1 + ("sliding" in info.layer_kinds),
        )

    @property
    def cell_fields(self) -> int:
        """int32 a cell."""
        return _CELL_FIELDS + _MROPE_FIELDS * self.has_mrope


_PLAIN = StateShape()


@dataclass(frozen=True)
class CellItems:
    """Bytes that hold [n_outer, n_cells, item_bytes]; n_outer is above 1 in transposed values."""

    offset: int
    n_outer: int
    item_bytes: int
    n_cells: int

    @property
    def n_bytes(self) -> int:
        """Length of all items."""
        return self.n_outer * self.n_cells * self.item_bytes

    def of(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """View of the items' bytes in a state: uint8[n_bytes]."""
        return raw[self.offset : self.offset + self.n_bytes]


@dataclass(frozen=True, eq=False)
class CacheLayout:
    """One KV cache in a state: int32[n_cells] positions, and each layer's keys.

    Cells stand in the cache's order, which is not that of their positions once cells were
    dropped and used again. ``keys`` holds this cache's layers in the model's order, ``values``
    theirs where they lie in rows as keys do (not transposed), ``columns`` everything that has an
    item for each cell.
    """

    positions: NDArray[np.int32]
    positions_offset: int
    keys: tuple[KeyRows, ...]
    v_transposed: bool
    columns: tuple[CellItems, ...] = ()
    shape: StateShape = _PLAIN
    values: tuple[KeyRows, ...] = ()

    def write_positions(self, state: NDArray[np.uint8], positions: NDArray[np.integer]) -> None:
        """Give every cell another position, [n_cells], in the order of ``positions``."""
        cells = _cells(state, self.positions_offset, len(self.positions), self.shape)
        cells[:, 0] = positions
        if self.shape.has_mrope:
            cells[:, 2:4] = positions[:, None]


@dataclass(frozen=True, eq=False)
class StateLayout:
    """A parsed state: one cache, or in sliding-window models two (full window first)."""

    seq_id: int
    caches: tuple[CacheLayout, ...]


def parse_state(state: NDArray[np.uint8], shape: StateShape = _PLAIN) -> StateLayout:
    """Find the positions and keys in a sequence's state.

    Args:
        state: uint8[n], of :meth:`longctx._native.Context.get_state`.
        shape: of the model's states.

    Raises:
        SnapshotMismatchError: it is damaged, cut off, or of a layout that we do not know.
    """
    reader = _Reader(state)
    magic, seq_id = reader.take("<Ii", "header")
    if magic != MAGIC:
        raise SnapshotMismatchError(
            f"not a sequence state of this llama.cpp (it begins with {magic:#010x}, not "
            f"{MAGIC:#010x}); prefill the text again"
        )
    caches = [_parse_cache(reader, shape)]
    if shape.n_caches == 2 or (shape.n_caches is None and reader.offset < state.size):
        caches.append(_parse_cache(reader, shape))
    if (reader.offset < state.size) != shape.is_recurrent:
        raise reader.mismatch(f"{state.size - reader.offset} bytes are left over")
    return StateLayout(seq_id, tuple(caches))


class _Reader:
    """Reads on through a state; whatever runs past its end is a mismatch."""

    def __init__(self, state: NDArray[np.uint8]) -> None:
        if state.dtype != np.uint8 or state.ndim != 1 or not state.flags.c_contiguous:
            raise SnapshotMismatchError(
                f"a state is a contiguous uint8[n], not {state.dtype}{list(state.shape)}"
            )
        self.state = state
        self.offset = 0

    def take(self, fields: str, what: str) -> tuple[int, ...]:
        begin = self.skip(struct.calcsize(fields), what)
        return struct.unpack_from(fields, self.state.data, begin)

    def skip(self, n_bytes: int, what: str) -> int:
        """Step over ``n_bytes`` and return where they began."""
        begin = self.offset
        if n_bytes > self.state.size - begin:
            raise self.mismatch(
                f"its {what} needs {n_bytes} bytes, {self.state.size - begin} are left"
            )
        self.offset += n_bytes
        return begin

    def mismatch(self, reason: str) -> SnapshotMismatchError:
        return SnapshotMismatchError(
            f"the state of {self.state.size} bytes is damaged or of another layout: at byte "
            f"{self.offset}, {reason}; prefill the text again"
        )


def _parse_cache(reader: _Reader, shape: StateShape) -> CacheLayout:
    n_stream, n_cells = reader.take("<II", "cache header")
    if n_stream != 1:
        raise reader.mismatch(f"it has {n_stream} streams, not 1")
    positions_offset = reader.offset
    if n_cells == 0:
        return CacheLayout(np.empty(0, np.int32), positions_offset, (), False)
    cell_bytes = 4 * shape.cell_fields
    reader.skip(n_cells * cell_bytes, "cells")
    cells = _cells(reader.state, positions_offset, n_cells, shape)
    # A state that was exported of one sequence names one with each cell, whoever shared it there.
    if not (cells[:, 1] == 1).all() or (cells[:, 0] < 0).any():
        raise reader.mismatch("a cell has no position or is not of one sequence")
    v_trans, n_layer = reader.take("<II", "layer count")
    if v_trans > 1 or not 0 < n_layer < 4096:
        raise reader.mismatch(f"it has v_trans {v_trans} and {n_layer} layers")
    keys = tuple(_parse_rows(reader, n_cells) for _ in range(n_layer))
    columns = [CellItems(positions_offset, 1, cell_bytes, n_cells)]
    columns += [CellItems(rows.offset, 1, rows.row_bytes, n_cells) for rows in keys]
    values: list[KeyRows] = []
    for _ in range(n_layer if shape.has_values else 0):
        if v_trans:
            _, value_bytes, n_values = reader.take("<iII", "value header")
            offset = reader.skip(value_bytes * n_values * n_cells, "values")
            columns.append(CellItems(offset, n_values, value_bytes, n_cells))
        else:
            rows = _parse_rows(reader, n_cells)
            columns.append(CellItems(rows.offset, 1, rows.row_bytes, n_cells))
            values.append(rows)
    return CacheLayout(
        cells[:, 0].copy(),
        positions_offset,
        keys,
        bool(v_trans),
        tuple(columns),
        shape,
        tuple(values),
    )


def select_tokens(
    state: NDArray[np.uint8], kept: NDArray[np.intp], shape: StateShape = _PLAIN
) -> NDArray[np.uint8]:
    """Keep some tokens of a state, in place: no second copy of a cache is made.

    Args:
        state: uint8[n]; its bytes are used up.
        kept: indices of tokens, in the order of their positions (and of their cells where
            several share one), ascending.
        shape: of the model's states.

    Returns:
        uint8[m], the state of these tokens in this order. What follows the first cache stays as it
        is: that of sliding-window layers, and a recurrent state.

    Raises:
        SnapshotMismatchError: the state is damaged, or has not these tokens and all are wanted.
    """
    cache = parse_state(state, shape).caches[0]
    n_cells = len(cache.positions)
    order = np.argsort(cache.positions, kind="stable")
    if len(kept) and kept[-1] >= n_cells:
        raise SnapshotMismatchError(f"the state holds {n_cells} tokens, not {kept[-1] + 1}")
    chosen = order[kept]
    if np.array_equal(chosen, np.arange(n_cells)):
        return state
    state[COUNT_OFFSET : COUNT_OFFSET + 4] = np.frombuffer(struct.pack("<I", len(kept)), np.uint8)
    # What is kept is never more than what was read, so writing stays behind reading.
    read = write = cache.columns[0].offset
    for column in cache.columns:
        between = column.offset - read
        state[write : write + between] = state[read : column.offset]
        write += between
        read = column.offset + column.n_bytes
        items = state[column.offset : read].reshape(column.n_outer, n_cells, column.item_bytes)
        picked = items[:, chosen].reshape(-1)
        state[write : write + picked.size] = picked
        write += picked.size
    behind = state.size - read
    state[write : write + behind] = state[read:]
    return state[: write + behind]


def _parse_rows(reader: _Reader, n_cells: int) -> KeyRows:
    ggml_type, row_bytes = reader.take("<iQ", "row header")
    kv_type = _TYPE_NAMES.get(ggml_type)
    if kv_type is None:
        raise reader.mismatch(f"rows have the unknown type {ggml_type}")
    if row_bytes == 0 or row_bytes % number_type(kv_type).block_bytes:
        raise reader.mismatch(f"rows of {kv_type} have {row_bytes} bytes")
    return KeyRows(kv_type, row_bytes, reader.skip(row_bytes * n_cells, "rows"), n_cells)


def _cells(
    state: NDArray[np.uint8], offset: int, n_cells: int, shape: StateShape
) -> NDArray[np.int32]:
    """View of the cells: int32[n_cells, fields], (position, n_seq_id, …, seq_id)."""
    n_bytes = 4 * n_cells * shape.cell_fields
    return state[offset : offset + n_bytes].view("<i4").reshape(n_cells, shape.cell_fields)
