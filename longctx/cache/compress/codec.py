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

import numpy as np
from numpy.typing import NDArray

from longctx.cache.state import COUNT_OFFSET, CacheLayout, CellItems, parse_state
from longctx.errors import SnapshotMismatchError
from longctx.model_info import ModelInfo
from longctx.rope import RopeConfig, Rotation

Choose = Callable[[int, int, NDArray[np.float32]], NDArray[np.intp]]
"""The number of a layer among those with keys, one of its KV heads, and its un-rotated keys,
float32[n, head_dim], to the tokens that it keeps: int[n_kept], ascending."""

WORKING_BYTES = 512 * 2**20
"""For the heads that threads work at, in float32: what is asked for because memory is short should
not take much of it. One is always worked at."""
_COPIES = 3  # of a head's keys: as they are read, their squares, their directions


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
        choose: called once for each head of each layer, from several threads.
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
    zeros = np.zeros_like(positions)
    n_rot, rope_type = info.n_rot, info.rope_type
    back = Rotation.between(positions, rope, zeros, rope, n_rot=n_rot, rope_type=rope_type)
    forth = Rotation.between(
        zeros[:n_kept], rope, new_positions, rope, n_rot=n_rot, rope_type=rope_type
    )
    moves = not np.array_equal(positions[:n_kept], new_positions) or n_kept < len(positions)

    def thin(index: int, head: int) -> None:
        layer = layers[index]

        def rows(raw: NDArray[np.uint8], column: CellItems) -> NDArray[np.void]:
            return rows_of(raw, column, head, layer.n_head_kv)

        stored = rows(state, cache.columns[1 + index])
        # The rows of one head are those of a layer that has no other.
        alone = replace(cache.keys[index], offset=0, row_bytes=stored.itemsize)
        keys = alone.read_heads(stored[order].view(np.uint8), layer.key_length)
        first = layer.key_length - n_rot if layer.rope_is_last else 0
        if layer.has_rope:
            rotated = keys[:, :, first:]
            back.apply(rotated, out=rotated)
        chosen = choose(index, head, keys[:, 0])
        kept = rows(out, columns[1 + index])
        if layer.has_rope and moves:
            turned = keys[chosen]
            rotated = turned[:, :, first:]
            forth.apply(rotated, out=rotated)
            written = np.empty(n_kept * stored.itemsize, np.uint8)
            replace(alone, n_cells=n_kept).write_heads(written, turned)
            kept[...] = written.view(stored.dtype)
        else:
            kept[...] = stored[order[chosen]]
        values = 1 + len(layers) + index
        rows(out, columns[values])[...] = rows(state, cache.columns[values])[..., order[chosen]]

    heads = [(i, head) for i, layer in enumerate(layers) for head in range(layer.n_head_kv)]
    largest = max(layer.key_length for layer in layers)
    with ThreadPoolExecutor(n_workers(len(positions), largest, n_threads)) as pool:
        list(pool.map(thin, *zip(*heads, strict=True)))
    # A cell's position is its index: where its keys stand is in their rotation.
    parse_state(out).caches[0].write_positions(out, np.arange(n_kept))
    return out


def n_workers(n_tokens: int, head_dim: int, n_threads: int) -> int:
    """Heads that are worked at side by side: as many as there are threads, and memory for."""
    of_a_head = _COPIES * 4 * n_tokens * head_dim
    return max(1, min(n_threads, WORKING_BYTES // max(1, of_a_head)))


def rows_of(raw: NDArray[np.uint8], column: CellItems, head: int, n_heads: int) -> NDArray[np.void]:
    """What cells hold of one head, byte for byte: a view.

    Args:
        raw: a state.
        column: one layer's keys or values in it.
        head: which.
        n_heads: of how many.

    Returns:
        void[n_cells], a row each; of transposed values void[head_dim, n_cells], a number each.
    """
    if column.n_outer == 1:
        row = np.dtype((np.void, column.item_bytes // n_heads))
        rows: NDArray[np.void] = column.of(raw).view(row).reshape(-1, n_heads)[:, head]
        return rows
    number = np.dtype((np.void, column.item_bytes))
    shape = n_heads, column.n_outer // n_heads, column.n_cells
    numbers: NDArray[np.void] = column.of(raw).view(number).reshape(shape)[head]
    return numbers


def _resized(
    state: NDArray[np.uint8], cache: CacheLayout, n_kept: int
) -> tuple[NDArray[np.uint8], list[CellItems]]:
    """A state of so many cells with all that stands between them, and where its columns are."""
    columns, read, write = [], 0, 0
    pieces = []
    for column in cache.columns:
        pieces.append(state[read : column.offset])
        write += column.offset - read
        columns.append(replace(column, offset=write, n_cells=n_kept))
        pieces.append(column.of(state)[: columns[-1].n_bytes])
        write += columns[-1].n_bytes
        read = column.offset + column.n_bytes
    out = np.concatenate(pieces)
    out[COUNT_OFFSET : COUNT_OFFSET + 4] = np.frombuffer(struct.pack("<I", n_kept), np.uint8)
    return out, columns
