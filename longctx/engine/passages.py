"""Passages that are kept: in memory, and, where they are compressed, in a folder as well."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from longctx.cache.passage import Passage
from longctx.cache.session import Session
from longctx.cache.snapshot import DamagedSnapshotError
from longctx.engine.store import SnapshotStore
from longctx.errors import LongCtxError
from longctx.files import discard, hash_parts, touch, trim_folder

logger = logging.getLogger("longctx")

MAX_BYTES = 4 * 2**30
"""Of all files of passages in a folder, of whatever model."""
_SUFFIX = ".passage"


@dataclass(frozen=True)
class Wanted:
    """A passage by its token ids; with ``share`` below 1 compressed to that share of its cells,
    all but its first ``n_whole``."""

    ids: tuple[int, ...]
    share: float = 1.0
    n_whole: int = 0


class Passages:
    """Passages that were prefilled alone; the least recently used go first.

    Args:
        limit_bytes: memory for all of them.
        store: beside whose sessions compressed ones are kept for later processes; None keeps none.
    """

    def __init__(self, limit_bytes: int, store: SnapshotStore | None) -> None:
        self.limit_bytes = limit_bytes
        self._store = store
        self._kept: OrderedDict[Wanted, Passage] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Memory of those that are kept."""
        return sum(passage.state.nbytes for passage in self._kept.values())

    def get(self, wanted: Wanted) -> Passage | None:
        """One that is in memory, which is the most recently used from now on."""
        if wanted not in self._kept:
            return None
        self._kept.move_to_end(wanted)
        return self._kept[wanted]

    def put(self, wanted: Wanted, passage: Passage) -> None:
        """Keep one in memory, if there is room for it at all."""
        self._kept[wanted] = passage
        while self._kept and self.n_bytes > self.limit_bytes:
            self._kept.popitem(last=False)

    def load(self, wanted: Wanted, session: Session) -> Passage | None:
        """One from the disk; the session that it is brought into holds it afterwards."""
        path = self._path(wanted)
        if path is None or not path.is_file():
            return None
        try:
            session.load(path)
            passage = replace(session.passage(), share=wanted.share)
        except LongCtxError as error:
            logger.warning("a saved passage is not used: %s", error)
            if isinstance(error, DamagedSnapshotError):
                discard(path)
            return None
        touch(path)
        return passage if passage.ids == wanted.ids else None

    def save(self, wanted: Wanted, session: Session) -> None:
        """Write down what a session holds, if it is compressed and there is a folder for it."""
        path = self._path(wanted)
        if path is None or self._store is None:
            return
        try:
            session.save(path)
        except LongCtxError as error:
            logger.warning("a passage is not kept on disk: %s", error)
        trim_folder(self._store.folder, _SUFFIX, MAX_BYTES, keep=path)

    def _path(self, wanted: Wanted) -> Path | None:
        if self._store is None or wanted.share == 1:
            return None
        ids = np.asarray(wanted.ids, dtype=np.int32).tobytes()
        digest = hash_parts([f"{wanted.share} {wanted.n_whole}\n".encode(), ids])
        return self._store.own_folder / f"{digest[:32]}{_SUFFIX}"
