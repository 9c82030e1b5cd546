"""A folder of saved sessions, found again by the tokens that they begin with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from longctx.cache.cells import Ids
from longctx.cache.snapshot import SnapshotKey, read_header
from longctx.errors import SnapshotMismatchError

MIN_TOKENS = 1024
"""Shorter texts prefill faster than anybody would notice."""
MAX_BYTES = 4 * 2**30


class SnapshotStore:
    """Snapshots of one model, least recently used ones dropped beyond a size.

    Several processes may share the folder: files come and go whole.

    Args:
        folder: where the snapshots lie; made when the first one is saved.
        key: what they are of; each key has a folder of its own inside.
        max_bytes: of all snapshots of all keys together; None is :data:`MAX_BYTES`.
    """

    def __init__(self, folder: Path, key: SnapshotKey, *, max_bytes: int | None = None) -> None:
        self.folder = folder
        self._own = folder / hashlib.sha256(key.model_dump_json().encode()).hexdigest()[:16]
        self._max_bytes = max_bytes

    def path_for(self, ids: Ids) -> Path:
        """Where the snapshot of a text lies, or will."""
        digest = hashlib.sha256(np.asarray(ids, dtype=np.int32).tobytes()).hexdigest()
        return self._own / f"{digest[:32]}.session"

    def best(self, ids: Ids) -> tuple[Path | None, int]:
        """Find the snapshot that shares the longest prefix with ``ids``, and its length."""
        best, longest = None, 0
        wanted = np.asarray(ids, dtype=np.int32)
        for path in self._files(self._own):
            try:
                header, held = read_header(path)
            except SnapshotMismatchError:
                continue
            n = min(len(held), len(wanted))
            differs = np.flatnonzero(held[:n] != wanted[:n])
            shared = int(differs[0]) if differs.size else n
            # Of a window that slid, only the whole is in the cache.
            whole = header.n_keep + header.n_dropped if header.n_dropped else 0
            if shared > longest and shared >= whole:
                best, longest = path, shared
        return best, longest

    def touch(self, path: Path) -> None:
        """Note that a snapshot was of use."""
        if path.exists():
            os.utime(path)

    def trim(self, ids: Ids, saved: Path) -> None:
        """After saving ``ids``: drop what they continue, and the least recently used beyond size.

        The newest snapshot stays even if it alone is larger than ``max_bytes``.
        """
        whole = np.asarray(ids, dtype=np.int32)
        for path in self._files(self._own):
            if path != saved:
                try:
                    _, held = read_header(path)
                except SnapshotMismatchError:
                    _remove(path)
                    continue
                if len(held) <= len(whole) and np.array_equal(held, whole[: len(held)]):
                    _remove(path)
        files = sorted(self._files(self.folder), key=_age, reverse=True)
        total = 0
        for path in files:
            total += _size(path)
            if total > (self._max_bytes or MAX_BYTES) and path != saved:
                _remove(path)

    def _files(self, folder: Path) -> Iterator[Path]:
        yield from sorted(folder.rglob("*.session"))


# Another process may drop a file at any moment.


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
