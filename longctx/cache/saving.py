"""A text with its cache to a file, and back at whatever scale it was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longctx.backends import Backend
from longctx.cache.cell_positions import CellPositions
from longctx.cache.compress import METHOD, VERSION, Composite
from longctx.cache.rearranger import Rearranger
from longctx.cache.snapshot import (
    Compression,
    Snapshot,
    read_snapshot,
    snapshot_key,
    write_snapshot,
)
from longctx.cache.window import Window
from longctx.errors import SnapshotMismatchError


def save_text(path: Path, backend: Backend, window: Window) -> Path:
    """Write a text and its cache.

    Raises:
        RequestError: there is a folder, a pipe, a device or a read-only file.
        BackendError: the file cannot be written.
    """
    cells = window.cells
    composite, compression = window.middle.composite, None
    if composite.n_text:
        share = composite.n_cells / composite.n_text
        compression = Compression(method=METHOD, version=VERSION, share=share)
    snapshot = Snapshot(
        key=snapshot_key(backend, compression),
        rope=cells.rope,
        n_ctx=cells.n_ctx,
        n_keep=window.middle.n_keep,
        groups=window.groups,
        tokens=np.array(cells.tokens, dtype=np.int32),
        dropped=np.array(window.middle.dropped, dtype=np.int32),
        positions=cells.positions,
        state=cells.export(),
        n_composite=composite.n_cells,
        n_compressed=composite.n_text,
        shields=composite.pack(),
        spans=composite.spans,
        n_exact=window.n_exact,
        checkpoints=cells.checkpoints.kept,
        shift=cells.cell_positions.shift,
    )
    return write_snapshot(path, snapshot)


def load_text(
    path: Path,
    backend: Backend,
    window: Window,
    rearranger: Rearranger,
    *,
    takes_compressed: bool = True,
) -> None:
    """Put a saved text in place of what is in a window.

    It stands where a text of its length stands here, whatever window it was saved in: else it would
    be answered otherwise than the same text that was prefilled.

    Raises:
        SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, is
            compressed where that is not taken, or is damaged; the window is as it was, or empty
            where the keys cannot be re-rotated.
        ContextOverflowError: it does not fit the largest window; the window is as it was.
    """
    # All that can be refused without touching the window comes first.
    snapshot = read_snapshot(path, snapshot_key(backend), takes_compressed=takes_compressed)
    n = len(snapshot.tokens)
    window.check_fits(n)
    window.truncate(0)
    window.smallest = 0
    window.resize(window.step_for(n))
    groups = window.placing.groups_of(n)
    reason = rearranger.restore(
        snapshot.state,
        snapshot.tokens.tolist(),
        snapshot.rope,
        snapshot.positions,
        window.placing.positions(n, groups) + np.int32(snapshot.shift),
    )
    if reason is not None:
        raise SnapshotMismatchError(
            f"{path} was saved at another scale, and {reason}; prefill the text again"
        )
    window.cells.cell_positions = CellPositions(snapshot.n_keep, snapshot.shift)
    for checkpoint in snapshot.checkpoints:
        window.cells.checkpoints.add(checkpoint.n_tokens, checkpoint.state)
    window.groups, window.middle.n_keep = groups, snapshot.n_keep
    heads = [layer.n_head_kv for layer in backend.info.layers if layer.key_elements]
    composite = Composite.unpack(
        snapshot.n_composite, snapshot.n_compressed, snapshot.shields, heads, snapshot.spans
    )
    window.n_exact = snapshot.n_exact
    window.middle.put(snapshot.dropped.tolist(), composite)
