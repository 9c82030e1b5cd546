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

from longctx._native import KV_TYPES, NumberType, number_type
from longctx.errors import SnapshotMismatchError
from longctx.model_info import ModelInfo
from longctx.rope import Rotation

MAGIC = 0xAF143CD8
_TYPE_NAMES = {number: name for name, number in KV_TYPES.items()}
_CHUNK_VALUES = 1 << 16  # a chunk and its temporaries stay in the second-level cache
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
class KeyRows:
    """The cached keys of one layer: where in the state's bytes, and in what type.

    Attributes:
        kv_type: ``"f32"``, ``"f16"``, ``"bf16"``, ``"q8_0"`` or ``"q4_0"``.
        row_bytes: bytes of one cell's row [n_head_kv, head_dim].
        offset: of the first row, in bytes.
        n_cells: rows.
    """

    kv_type: str
    row_bytes: int
    offset: int
    n_cells: int

    @property
    def numbers(self) -> NumberType:
        """How the type stores numbers."""
        return number_type(self.kv_type)

    @property
    def row_values(self) -> int:
        """n_head_kv · head_dim."""
        return self.row_bytes // self.numbers.block_bytes * self.numbers.block

    def read(self, state: NDArray[np.uint8], rows: slice = slice(None)) -> NDArray[np.float32]:
        """Return a copy of some rows as they are stored: float32[n, row_values].

        Quantised rows of heads whose length is a multiple of 64 are stored rotated by a
        Hadamard matrix; :meth:`read_heads` takes care of it, this does not.
        """
        stored = self._stored(state)[rows]
        out = np.empty((len(stored), self.row_values), dtype=np.float32)
        self.numbers.read(stored.reshape(-1), out)
        return out

    def write(
        self, state: NDArray[np.uint8], values: NDArray[np.float32], rows: slice = slice(None)
    ) -> None:
        """Put float32[n, row_values] in place of some rows, rounded to the cache's type."""
        self.numbers.write(np.ascontiguousarray(values), self._stored(state)[rows].reshape(-1))

    def rotate(
        self, state: NDArray[np.uint8], rotation: Rotation, *, head_dim: int, first: int = 0
    ) -> None:
        """Rotate every row in place, a chunk at a time.

        Args:
            state: the bytes that hold the rows.
            rotation: of each row.
            head_dim: values of a head.
            first: dimension of a head that the rotated ones begin at.

        Raises:
            SnapshotMismatchError: the rows are not heads of ``head_dim``.
        """
        if self.row_values % head_dim:
            raise SnapshotMismatchError(
                f"a cached row has {self.row_values} values, no multiple of head_dim {head_dim}: "
                "this state belongs to another model; prefill the text again"
            )
        step = max(1, _CHUNK_VALUES // self.row_values)
        for begin in range(0, self.n_cells, step):
            rows = slice(begin, begin + step)
            heads = self.read_heads(state, head_dim, rows)
            rotated = heads[:, :, first:]
            rotation[rows].apply(rotated, out=rotated)
            self.write_heads(state, heads, rows)

    def read_heads(
        self, state: NDArray[np.uint8], head_dim: int, rows: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return a copy of some rows as attention means them: float32[n, n_head_kv, head_dim].

        Quantised ones are multiplied by the :func:`hadamard` that they were stored with, so that
        pairs can be rotated.
        """
        keys = self.read(state, rows)
        heads = keys.reshape(len(keys), -1, head_dim)
        mixing = self._mixing(head_dim)
        return heads if mixing is None else _mix(heads, mixing)

    def write_heads(
        self, state: NDArray[np.uint8], heads: NDArray[np.float32], rows: slice = slice(None)
    ) -> None:
        """Put float32[n, n_head_kv, head_dim] in place of some rows, as :meth:`read_heads` has
        them."""
        mixing = self._mixing(heads.shape[2])
        stored = heads if mixing is None else _mix(heads, mixing)
        self.write(state, stored.reshape(len(heads), -1), rows)

    def _mixing(self, head_dim: int) -> NDArray[np.float32] | None:
        # llama.cpp stores quantised keys multiplied by this matrix, which spreads large values over
        # a head; it is its own inverse.
        return hadamard(head_dim) if self.numbers.block > 1 and head_dim % 64 == 0 else None

    def _stored(self, state: NDArray[np.uint8]) -> NDArray[np.uint8]:
        n_bytes = self.n_cells * self.row_bytes
        return state[self.offset : self.offset + n_bytes].reshape(self.n_cells, self.row_bytes)


def hadamard(head_dim: int) -> NDArray[np.float32]:
    """The matrix by which llama.cpp multiplies quantised keys: float32[n, n], its own inverse.

    Orthonormal Walsh-Hadamard (Sylvester's order), n the largest power of 2 that divides
    ``head_dim``, as ``llama_kv_cache::build_input_k_rot`` chooses it.
    """
    matrix = np.ones((1, 1), dtype=np.float32)
    while head_dim % (2 * len(matrix)) == 0:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    matrix /= np.sqrt(np.float32(len(matrix)))
    return matrix


def _mix(heads: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = np.matmul(heads.reshape(-1, len(matrix)), matrix)
    return mixed.reshape(heads.shape)


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
