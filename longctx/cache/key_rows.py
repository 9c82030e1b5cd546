"""The cached keys of a layer as numbers: read, rotated and written back where they lie.

llama.cpp stores them in the cache's type, and quantised ones multiplied by a matrix. What attention
means by them, and what RoPE turns, are the heads without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx._native import NumberType, number_type
from longctx.errors import SnapshotMismatchError
from longctx.rope import Rotation
from longctx.rope.rotate import chunks

_ALONE = 1 << 18
"""Multiplications of a matrix product that OpenBLAS computes in the thread that calls it. It shares
larger ones with threads of its own, and layers that are rotated side by side wait for those."""


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
        out = np.empty((len(range(self.n_cells)[rows]), self.row_values), dtype=np.float32)
        self._read_into(out, state, rows)
        return out

    def write(
        self, state: NDArray[np.uint8], values: NDArray[np.float32], rows: slice = slice(None)
    ) -> None:
        """Put float32[n, row_values] in place of some rows, rounded to the cache's type."""
        self.numbers.write(np.ascontiguousarray(values), self._stored(state)[rows].reshape(-1))

    def rotate(
        self, state: NDArray[np.uint8], rotation: Rotation, *, head_dim: int, first: int = 0
    ) -> None:
        """Rotate rows in place, a chunk at a time.

        Those before the first that turns, and behind the last, stay byte for byte as they are. When
        Self-Extend moves a block that is most of the text; and a quantised row that is written
        again is rounded again.

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
        turning = np.flatnonzero(rotation.turns)
        if not turning.size:
            return
        begin, end = int(turning[0]), int(turning[-1]) + 1
        spans = list(chunks(end - begin, self.row_values))
        # One for all: memory that is taken anew is touched for the first time.
        numbers = np.empty((spans[0].stop, self.row_values), dtype=np.float32)
        for span in spans:
            keys = numbers[: span.stop - span.start]
            rows = slice(begin + span.start, begin + span.stop)
            self._read_into(keys, state, rows)
            heads = self._unmixed(keys, head_dim)
            rotated = heads[:, :, first:]
            rotation.apply(rotated, out=rotated, rows=rows)
            self.write_heads(state, heads, rows)

    def read_heads(
        self, state: NDArray[np.uint8], head_dim: int, rows: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return a copy of some rows as attention means them: float32[n, n_head_kv, head_dim].

        Quantised ones are multiplied by the :func:`hadamard` that they were stored with, so that
        pairs can be rotated.
        """
        return self._unmixed(self.read(state, rows), head_dim)

    def write_heads(
        self, state: NDArray[np.uint8], heads: NDArray[np.float32], rows: slice = slice(None)
    ) -> None:
        """Put float32[n, n_head_kv, head_dim] in place of some rows, as :meth:`read_heads` has
        them."""
        mixing = self._mixing(heads.shape[2])
        stored = heads if mixing is None else _mix(heads, mixing)
        self.write(state, stored.reshape(len(heads), -1), rows)

    def _read_into(self, out: NDArray[np.float32], state: NDArray[np.uint8], rows: slice) -> None:
        self.numbers.read(self._stored(state)[rows].reshape(-1), out)

    def _unmixed(self, keys: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
        heads = keys.reshape(len(keys), -1, head_dim)
        mixing = self._mixing(head_dim)
        return heads if mixing is None else _mix(heads, mixing)

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
    n = len(matrix)
    rows = heads.reshape(-1, n)
    mixed = np.empty_like(rows)
    step = max(1, _ALONE // n**2)
    whole = len(rows) // step * step
    np.matmul(rows[:whole].reshape(-1, step, n), matrix, out=mixed[:whole].reshape(-1, step, n))
    np.matmul(rows[whole:], matrix, out=mixed[whole:])
    return mixed.reshape(heads.shape)
