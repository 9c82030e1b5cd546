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

Choose = Callable[[int, NDArray[np.float32]], NDArray[np.intp]]
"""The number of a layer among those with keys, and its un-rotated keys, float32[n, n_head_kv,
head_dim], to the tokens that each head keeps: int[n_kept, n_head_kv], ascending."""


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
        choose: called once a layer, from several threads.
        n_threads: how many.

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

    def thin(index: int) -> None:
        layer, rows = layers[index], cache.keys[index]
        keys = rows.read_heads(state, layer.key_length)[order]
        first = layer.key_length - n_rot if layer.rope_is_last else 0
        if layer.has_rope:
            rotated = keys[:, :, first:]
            back.apply(rotated, out=rotated)
        chosen = choose(index, keys)
        if layer.has_rope and moves:
            kept = np.ascontiguousarray(np.take_along_axis(keys, chosen[:, :, None], axis=0))
            rotated = kept[:, :, first:]
            forth.apply(rotated, out=rotated)
            moved = replace(rows, offset=columns[1 + index].offset, n_cells=n_kept)
            moved.write_heads(out, kept)
        else:
            keep_rows(state, cache.columns[1 + index], out, columns[1 + index], order[chosen])
        values = 1 + len(layers) + index
        keep_rows(state, cache.columns[values], out, columns[values], order[chosen])

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(thin, range(len(layers))))
    # A cell's position is its index: where its keys stand is in their rotation.
    parse_state(out).caches[0].write_positions(out, np.arange(n_kept))
    return out


def keep_rows(
    state: NDArray[np.uint8],
    source: CellItems,
    out: NDArray[np.uint8],
    target: CellItems,
    chosen: NDArray[np.intp],
) -> None:
    """Copy some rows of each head, byte for byte.

    Args:
        state: where they are.
        source: one layer's keys or values in it.
        out: where they go.
        target: the same column there.
        chosen: int[n_kept, n_head_kv], cells.
    """
    n_kept, n_heads = chosen.shape
    heads = np.arange(n_heads)
    if source.n_outer == 1:
        head = np.dtype((np.void, source.item_bytes // n_heads))
        rows = source.of(state).view(head).reshape(source.n_cells, n_heads)
        target.of(out).view(head).reshape(n_kept, n_heads)[...] = rows[chosen, heads]
        return
    # Transposed values: [n_head_kv · head_dim, n_cells], a number each.
    number = np.dtype((np.void, source.item_bytes))
    shape = n_heads, source.n_outer // n_heads
    columns = source.of(state).view(number).reshape(*shape, source.n_cells)
    kept = target.of(out).view(number).reshape(*shape, n_kept)
    for i in heads:
        kept[i] = columns[i][:, chosen[:, i]]


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
