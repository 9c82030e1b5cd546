"""Composite cells: a sequence's state in which each layer and KV head has its own tokens.

A cell's position only drives the causal mask; what a head sees of it is the rotation of its own
key. So the rows of a layer's heads are chosen apart and laid side by side, in as many cells for
every head. They are moved as bytes, whatever the cache's type. To stand closer together, keys are
turned besides: un-rotated where they stood, which scoring needs anyway, and rotated to where they
shall stand. Then a cell is again one position for every head, and whatever moves ordinary cells
(growing, sliding, Self-Extend, snapshots) moves composite ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from longctx.cache.state import COUNT_OFFSET, CacheLayout, CellItems, parse_state
from longctx.errors import SnapshotMismatchError
from longctx.model_info import ModelInfo
from longctx.rope import RopeConfig, Rotation

Choose = Callable[[int, slice, NDArray[np.float32]], NDArray[np.intp]]
"""The number of a layer among those with keys, some of its KV heads, and their un-rotated keys,
float32[n, n_heads, head_dim], to the tokens that each keeps: int[n_kept, n_heads], ascending."""

WORKING_BYTES = 512 * 2**20
"""For the heads that threads work at, in float32: what is asked for because memory is short should
not take much of it. One is always worked at."""
Number = TypeVar("Number", np.uint8, np.float32)
_COPIES = 3  # of a head's keys: as they are stored, un-rotated, and those that are kept
_TOGETHER_BYTES = 3 << 18
"""Of un-rotated keys: so many heads of a layer are worked at together as stay in the cache of a
core. Of short texts that is all of them, and numpy is called as much less often."""


def thin_state(
    state: NDArray[np.uint8],
    info: ModelInfo,
    rope: RopeConfig,
    positions: NDArray[np.int32],
    new_positions: NDArray[np.int32],
    choose: Choose,
    *,
    n_threads: int = 1,
) -> NDArray[np.uint8]:
    """Keep some tokens of a state, for each layer and head its own.

    Args:
        state: uint8[m], of :meth:`longctx._native.Context.get_state`.
        info: the model, whose layers all have full attention.
        rope: what the keys were rotated under.
        positions: int32[n], where the tokens stand, in their order.
        new_positions: int32[n_kept], where those that are kept shall stand.
        choose: called for some heads of a layer at a time, each once, from several threads.
        n_threads: how many, at most: fewer where the heads are so large that together they took
            more than :data:`WORKING_BYTES`.

    Returns:
        The state of ``len(new_positions)`` cells.

    Raises:
        SnapshotMismatchError: the state does not hold these tokens of this model.
    """
    caches = parse_state(state).caches
    layers = [layer for layer in info.layers if layer.key_elements]
    cache = caches[0]
    order = np.argsort(cache.positions, kind="stable")
    if len(caches) > 1 or len(order) != len(positions):
        raise SnapshotMismatchError(
            f"the state holds {len(order)} tokens, the session {len(positions)}"
        )
    if len(cache.keys) != len(layers):
        raise SnapshotMismatchError(
            f"the state has keys of {len(cache.keys)} layers, the model of {len(layers)}"
        )
    n_kept = len(new_positions)
    out, columns = _resized(state, cache, n_kept)
    n_rot, rope_type = info.n_rot, info.rope_type
    zeros = np.zeros_like(positions)
    back = Rotation.between(positions, rope, zeros, rope, n_rot=n_rot, rope_type=rope_type)
    forth = back[:n_kept].inverse
    if not np.array_equal(positions[:n_kept], new_positions):
        forth = Rotation.between(
            zeros[:n_kept], rope, new_positions, rope, n_rot=n_rot, rope_type=rope_type
        )
    moves = not np.array_equal(positions[:n_kept], new_positions) or n_kept < len(positions)
    is_in_order = np.array_equal(order, np.arange(len(order)))

    def thin(index: int, heads: slice) -> None:
        thin_values(index, heads, thin_keys(index, heads))

    def thin_keys(index: int, heads: slice) -> NDArray[np.intp]:
        layer, n_heads = layers[index], heads.stop - heads.start
        held = rows_of(state, cache.columns[1 + index], heads, layer.n_head_kv)
        kept = rows_of(out, columns[1 + index], heads, layer.n_head_kv)
        stored = held if is_in_order else held[order]
        # The rows of some heads are those of a layer that has no others.
        alone = replace(cache.keys[index], offset=0, row_bytes=n_heads * held.shape[2])
        keys = alone.read_heads(np.ascontiguousarray(stored).reshape(-1), layer.key_length)
        first = layer.key_length - n_rot if layer.rope_is_last else 0
        if layer.has_rope:
            rotated = keys[:, :, first:]
            back.apply(rotated, out=rotated)
        chosen = choose(index, heads, keys)
        if layer.has_rope and moves:
            turned = _picked(keys, chosen)
            rotated = turned[:, :, first:]
            forth.apply(rotated, out=rotated)
            written = kept if kept.flags.c_contiguous else np.empty(kept.shape, np.uint8)
            replace(alone, n_cells=n_kept).write_heads(written.reshape(-1), turned)
            if written is not kept:
                kept[...] = written
        else:
            _picked(stored, chosen, out=kept)
        return chosen

    def thin_values(index: int, heads: slice, chosen: NDArray[np.intp]) -> None:
        values, of = 1 + len(layers) + index, layers[index].n_head_kv
        column = cache.columns[values]
        if column.n_outer == 1:
            held = rows_of(state, column, heads, of)
            _picked(held, order[chosen], out=rows_of(out, columns[values], heads, of))
        else:
            for i, head in enumerate(range(heads.start, heads.stop)):
                numbers = numbers_of(state, column, head, of)
                numbers_of(out, columns[values], head, of)[...] = numbers[:, order[chosen[:, i]]]

    largest = max(layer.key_length for layer in layers)
    together = max(1, _TOGETHER_BYTES // max(1, 4 * len(positions) * largest))
    parts = [
        (i, slice(head, min(head + together, layer.n_head_kv)))
        for i, layer in enumerate(layers)
        for head in range(0, layer.n_head_kv, together)
    ]
    most = max(part.stop - part.start for _, part in parts)
    with ThreadPoolExecutor(n_workers(len(positions), most * largest, n_threads)) as pool:
        list(pool.map(thin, *zip(*parts, strict=True)))
    # A cell's position is its index: where its keys stand is in their rotation.
    parse_state(out).caches[0].write_positions(out, np.arange(n_kept))
    return out


def n_workers(n_tokens: int, row_values: int, n_threads: int) -> int:
    """Parts that are worked at side by side: as many as there are threads, and memory for."""
    of_a_part = _COPIES * 4 * n_tokens * row_values
    return max(1, min(n_threads, WORKING_BYTES // max(1, of_a_part)))


def rows_of(
    raw: NDArray[np.uint8], column: CellItems, heads: slice, n_heads: int
) -> NDArray[np.uint8]:
    """What cells hold of some heads, byte for byte: a view, uint8[n_cells, n_heads, row_bytes].

    Args:
        raw: a state.
        column: one layer's keys or values in it, not transposed.
        heads: which.
        n_heads: of how many.
    """
    return column.of(raw).reshape(column.n_cells, n_heads, -1)[:, heads]


def numbers_of(
    raw: NDArray[np.uint8], column: CellItems, head: int, n_heads: int
) -> NDArray[np.void]:
    """What cells hold of one head's transposed values: a view, void[head_dim, n_cells]."""
    number = np.dtype((np.void, column.item_bytes))
    shape = n_heads, column.n_outer // n_heads, column.n_cells
    numbers: NDArray[np.void] = column.of(raw).view(number).reshape(shape)[head]
    return numbers


def _picked(
    rows: NDArray[Number], chosen: NDArray[np.intp], out: NDArray[Number] | None = None
) -> NDArray[Number]:
    """Of each head its own rows: [n, n_heads, row] by int[k, n_heads] to [k, n_heads, row]."""
    n_heads, row = rows.shape[1:]
    # As rows of one list, which numpy copies whole; a view of some heads is no such list.
    indices = (chosen * n_heads + np.arange(n_heads)).reshape(-1)
    flat = np.ascontiguousarray(rows).reshape(-1, row)
    if out is not None and out.flags.c_contiguous:
        flat.take(indices, axis=0, out=out.reshape(-1, row), mode="clip")
        return out
    picked: NDArray[Number] = flat.take(indices, axis=0, mode="clip").reshape(*chosen.shape, row)
    if out is None:
        return picked
    out[...] = picked
    return out


def _resized(
    state: NDArray[np.uint8], cache: CacheLayout, n_kept: int
) -> tuple[NDArray[np.uint8], list[CellItems]]:
    """A state of so many cells with all that stands between its columns, and where these are; what
    is in them is yet to be written."""
    columns, between, read, write = [], [], 0, 0
    for column in cache.columns:
        between.append((write, state[read : column.offset]))
        write += column.offset - read
        columns.append(replace(column, offset=write, n_cells=n_kept))
        write += columns[-1].n_bytes
        read = column.offset + column.n_bytes
    out = np.empty(write, np.uint8)
    for at, piece in between:
        out[at : at + piece.size] = piece
    # Of the cells themselves all but the positions stays as it is.
    cells = cache.columns[0]
    columns[0].of(out)[...] = cells.of(state)[: columns[0].n_bytes]
    out[COUNT_OFFSET : COUNT_OFFSET + 4] = np.frombuffer(struct.pack("<I", n_kept), np.uint8)
    return out, columns
