"""A folder of saved sessions, found again by the tokens that they begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longctx.cache.cells import Ids
from longctx.cache.snapshot import DamagedSnapshotError, SnapshotKey, read_header
from longctx.errors import LongCtxError, SnapshotMismatchError
from longctx.files import discard, hash_parts, trim_folder

MIN_TOKENS = 1024
"""Shorter texts prefill faster than anybody would notice."""
MAX_BYTES = 4 * 2**30
_SUFFIX = ".session"


class SnapshotStore:
    """Snapshots of one model, least recently used ones dropped beyond a size.

    Several processes may share the folder: files come and go whole.

    Args:
        folder: where the snapshots lie; made when the first one is saved.
        key: what they are of; each key has a folder of its own inside.
        n_ctx: tokens that a session here can hold; larger ones are left to who can.
        takes_compressed: whether texts that were compressed are found, too.
        max_bytes: of all snapshots of all keys together; None is :data:`MAX_BYTES`.
    """

    def __init__(
        self,
        folder: Path,
        key: SnapshotKey,
        *,
        n_ctx: int,
        takes_compressed: bool = False,
        max_bytes: int | None = None,
    ) -> None:
        self.folder = folder
        self.takes_compressed = takes_compressed
        self._n_ctx = n_ctx
        self._unusable: set[Path] = set()
        self._own = folder / hash_parts([key.model_dump_json().encode()])[:16]
        self._max_bytes = max_bytes

    def path_for(self, ids: Ids) -> Path:
        """Where the snapshot of a text lies, or will."""
        digest = hash_parts([np.asarray(ids, dtype=np.int32).tobytes()])
        return self._own / f"{digest[:32]}{_SUFFIX}"

    @property
    def own_folder(self) -> Path:
        """Where the files of this model lie."""
        return self._own

    def best(self, ids: Ids) -> tuple[Path | None, int]:
        """Find the snapshot that shares the longest prefix with ``ids``, and its length."""
        best, longest = None, 0
        wanted = np.asarray(ids, dtype=np.int32)
        for path in self._files():
            if path in self._unusable:
                continue
            try:
                header, held = read_header(path)
            except SnapshotMismatchError:
                continue
            if header.n_tokens > self._n_ctx:
                continue
            if header.key.compression is not None and not self.takes_compressed:
                continue
            n = min(len(held), len(wanted))
            differs = np.flatnonzero(held[:n] != wanted[:n])
            shared = int(differs[0]) if differs.size else n
            if header.n_slid and len(wanted) < self._n_ctx:
                continue  # what fits whole is not answered from a part of it
            # Of a window that slid or is compressed, only the whole is in the cache.
            whole = header.n_keep + header.n_dropped if header.n_dropped else 0
            if shared > longest and shared >= whole:
                best, longest = path, shared
        return best, longest

    def refuse(self, path: Path, error: LongCtxError) -> None:
        """Note that a snapshot could not be loaded; only a broken one is dropped."""
        if path.exists():  # else another process dropped it, and may save it again
            self._unusable.add(path)
        if isinstance(error, DamagedSnapshotError):
            discard(path)

    def trim(self, ids: Ids, saved: Path) -> None:
        """After saving ``ids``: drop what they continue, and the least recently used beyond size.

        The newest snapshot stays even if it alone is larger than ``max_bytes``.
        """
        whole = np.asarray(ids, dtype=np.int32)
        self._unusable.discard(saved)
        for path in self._files():
            if path != saved:
                try:
                    _, held = read_header(path)
                except SnapshotMismatchError as error:
                    self.refuse(path, error)
                    continue
                if len(held) <= len(whole) and np.array_equal(held, whole[: len(held)]):
                    discard(path)
        trim_folder(self.folder, _SUFFIX, self._max_bytes or MAX_BYTES, keep=saved)

    def _files(self) -> list[Path]:
        return sorted(self._own.rglob(f"*{_SUFFIX}"))
