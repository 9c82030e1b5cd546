"""Rotating keys: RoPE applied to them, and cached ones re-rotated to other positions or RoPEs.

RoPE rotates pair i of a key at position p by the angle p·θᵢ (Su et al. 2021, equation 34),
so a cached key becomes that of position p' under θ' by one more rotation, by p'·θ'ᵢ - p·θᵢ.
Only the first n_rot dimensions of a head are rotated; the others, and all values, have no position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from longctx.errors import UnsupportedModelError
from longctx.rope.config import RopeConfig

RotaryType: TypeAlias = Literal["norm", "neox"]
"""Which dimensions are a pair: NORM (2i, 2i+1), NEOX (i, i + n_rot/2). M-RoPE, whose pairs stand
for places in a picture as well, turns those of a text as NEOX does: all its positions are one."""

Positions: TypeAlias = NDArray[np.integer]
CHUNK_VALUES = 1 << 18
"""Keys that are rotated at once: 1 MiB, for which the second-level cache mostly has room. With
fewer, threads wait more for each other: between two calls of numpy each needs the interpreter's
lock."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotations of n rows of keys, computed once and shared by all layers.

    ``factors`` is complex64[n, n_rot/2], scale · e^(i·angle). Make one with :meth:`by`, or
    with :meth:`between` for cached keys.
    """

    factors: NDArray[np.complex64]
    rope_type: RotaryType

    @classmethod
    def by(cls, angles: Iterator[NDArray[np.float64]], rope_type: str, scale: float) -> Rotation:
        """Build from chunks of angles, float64[rows, n_rot/2] radians.

        Raises:
            UnsupportedModelError: the RoPE is neither NORM nor NEOX nor M-RoPE.
        """
        if rope_type == "mrope":
            rope_type = "neox"
        if rope_type not in ("norm", "neox"):
            raise UnsupportedModelError(
                f"keys with RoPE of type {rope_type!r} cannot be rotated; only norm, neox and "
                "mrope can: prefill the text again"
            )
        tables = []
        for chunk in angles:
            # Reduced in float64, so that float32 loses nothing at large positions.
            reduced = (chunk - 2 * np.pi * np.round(chunk / (2 * np.pi))).astype(np.float32)
            table = np.empty(reduced.shape, dtype=np.complex64)
            np.multiply(np.cos(reduced), np.float32(scale), out=table.real)
            np.multiply(np.sin(reduced), np.float32(scale), out=table.imag)
            tables.append(table)
        return cls(np.concatenate(tables), cast(RotaryType, rope_type))

    @classmethod
    def between(
        cls,
        old_positions: Positions,
        old: RopeConfig,
        new_positions: Positions,
        new: RopeConfig,
        *,
        n_rot: int,
        rope_type: str,
        still: Sequence[int] = (),
    ) -> Rotation:
        """From keys cached under ``old`` at ``old_positions`` [n] to ``new`` at ``new_positions``.

        By p'·θ' - p·θ, times the ratio of the attention factors. Pairs of ``still`` do not turn.

        Raises:
            UnsupportedModelError: the RoPE is neither NORM nor NEOX nor M-RoPE.
            ValueError: the two arrays of positions differ in length.
        """
        if old_positions.shape != new_positions.shape:
            raise ValueError(f"{old_positions.size} old and {new_positions.size} new positions")
        old_theta, new_theta = old.frequencies(n_rot), new.frequencies(n_rot)
        old_theta[list(still)] = new_theta[list(still)] = 0
        angles = (
            np.multiply.outer(new_positions[rows], new_theta)
            - np.multiply.outer(old_positions[rows], old_theta)
            for rows in chunks(old_positions.size, n_rot)
        )
        return cls.by(angles, rope_type, new.attention_factor / old.attention_factor)

    @property
    def n_rot(self) -> int:
        """Dimensions of a head that are rotated."""
        return 2 * int(self.factors.shape[1])

    @property
    def inverse(self) -> Rotation:
        """What undoes it, where it does not change a key's length."""
        return Rotation(self.factors.conj(), self.rope_type)

    @property
    def turns(self) -> NDArray[np.bool_]:
        """bool[n], whether a row is any other afterwards."""
        turns: NDArray[np.bool_] = (self.factors != 1).any(axis=1)
        return turns

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, rows: slice) -> Rotation:
        return Rotation(self.factors[rows], self.rope_type)

    def apply(
        self,
        keys: NDArray[np.float32],
        *,
        out: NDArray[np.float32] | None = None,
        rows: slice = slice(None),
    ) -> NDArray[np.float32]:
        """Rotate keys.

        Args:
            keys: float32[n, n_head_kv, head_dim] with contiguous heads.
            out: where to put the result; may be ``keys``. Without it that is a new array.
            rows: of this rotation, those of the keys.

        Raises:
            ValueError: the shape is not that of these rows.
        """
        first, end, _ = rows.indices(len(self))
        n_rows = end - first
        if keys.ndim != 3 or len(keys) != n_rows or keys.shape[2] < self.n_rot:
            raise ValueError(f"keys of shape {keys.shape} for {n_rows} rows of n_rot {self.n_rot}")
        if out is None:
            out = keys.copy()
        elif out is not keys:
            out[...] = keys
        rotate_pairs = self._rotate_norm if self.rope_type == "norm" else self._rotate_neox
        for chunk in chunks(n_rows, keys.shape[1] * keys.shape[2]):
            mine = slice(first + chunk.start, first + chunk.stop)
            rotate_pairs(out[chunk, :, : self.n_rot], mine)
        return out

    def _rotate_norm(self, keys: NDArray[np.float32], rows: slice) -> None:
        pairs = keys.view(np.complex64)
        np.multiply(pairs, self.factors[rows, None], out=pairs)

    def _rotate_neox(self, keys: NDArray[np.float32], rows: slice) -> None:
        # k·[cos, cos] + swapped k·[-sin, sin]: whole rows, which numpy runs faster than halves.
        cosines, sines = self._neox_tables
        half = keys.shape[2] // 2
        swapped = np.concatenate((keys[..., half:], keys[..., :half]), axis=2)
        swapped *= sines[rows, None]
        keys *= cosines[rows, None]
        keys += swapped

    @cached_property
    def _neox_tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[cos, cos] and [-sin, sin] of each row, float32[n, n_rot]: every layer needs them."""
        cosines, sines = self.factors.real, self.factors.imag
        return np.concatenate((cosines, cosines), axis=1), np.concatenate((-sines, sines), axis=1)


def chunks(n_rows: int, row_values: int) -> Iterator[slice]:
    """Slices of ``n_rows`` rows (at least one, maybe empty) of :data:`CHUNK_VALUES` each."""
    step = max(1, CHUNK_VALUES // row_values)
    for begin in range(0, max(1, n_rows), step):
        yield slice(begin, min(begin + step, n_rows))


def rotate(
    keys: NDArray[np.float32],
    positions: Positions,
    frequencies: NDArray[np.float64],
    *,
    rope_type: str,
    attention_factor: float = 1.0,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Apply RoPE to unrotated keys.

    Args:
        keys: float32[n, n_head_kv, head_dim].
        positions: [n].
        frequencies: float64[n_rot/2], radians a position.
        rope_type: ``"norm"``, ``"neox"`` or ``"mrope"``.
        attention_factor: multiplies the dimensions that are rotated, as llama.cpp does.
        out: where to put the result; may be ``keys``.

    Returns:
        float32, the shape of ``keys``.

    Raises:
        UnsupportedModelError: the RoPE is neither NORM nor NEOX nor M-RoPE.
    """
    angles = (
        np.multiply.outer(positions[rows], frequencies)
        for rows in chunks(positions.size, 2 * frequencies.size)
    )
    return Rotation.by(angles, rope_type, attention_factor).apply(keys, out=out)


def rerotate(
    keys: NDArray[np.float32],
    old_positions: Positions,
    old: RopeConfig,
    new_positions: Positions,
    new: RopeConfig,
    *,
    n_rot: int,
    rope_type: str,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Re-rotate the cached keys of one layer; for many layers keep the :class:`Rotation`.

    Exact for the first layer. Deeper keys were computed from hidden states that saw the old
    frequencies, and stay so.

    Args:
        keys: float32[n, n_head_kv, head_dim], rotated under ``old``.
        old_positions: [n], where they stand.
        old: the RoPE they were cached under.
        new_positions: [n], where they shall stand.
        new: the RoPE that will read them.
        n_rot: dimensions of a head that are rotated.
        rope_type: ``"norm"``, ``"neox"`` or ``"mrope"``.
        out: where to put the result; may be ``keys``.

    Returns:
        float32, the shape of ``keys``.

    Raises:
        UnsupportedModelError: the RoPE is neither NORM nor NEOX nor M-RoPE.
    """
    rotation = Rotation.between(
        old_positions, old, new_positions, new, n_rot=n_rot, rope_type=rope_type
    )
    return rotation.apply(keys, out=out)
