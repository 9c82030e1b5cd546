"""Sessions that outlive their cache: which are worth a file, and which file is worth a prefill."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from longctx._native import CacheFullError
from longctx.cache import Session
from longctx.cache.cells import Ids
from longctx.engine.store import MIN_TOKENS, SnapshotStore
from longctx.errors import LongCtxError
from longctx.files import touch

logger = logging.getLogger("longctx")


class Keeping:
    """Writes sessions to a folder and reads them from it; whatever fails there fails no answer.

    Args:
        store: the folder; None keeps nothing.
    """

    def __init__(self, store: SnapshotStore | None) -> None:
        self._store = store
        # Tokens of a session that are in the folder: what is new since then is worth a file or not.
        self._saved: dict[Session, int] = {}

    def find(self, ids: Ids, n_live: Callable[[], int]) -> Path | None:
        """The file that has much more of a prompt than live sessions, which have ``n_live()``."""
        if self._store is None:
            return None
        path, stored = self._store.best(ids)
        return path if stored and stored >= n_live() + MIN_TOKENS else None

    def load(self, session: Session, path: Path) -> None:
        """Fill an empty session; one that cannot be filled stays empty, and its prompt is
        prefilled."""
        if self._store is None:
            return
        try:
            session.load(path, takes_compressed=self._store.takes_compressed)
        except CacheFullError:
            return  # no fault of the file: it is tried again when there are cells
        except LongCtxError as error:
            logger.warning("a saved session is not used: %s", error)
            self._store.refuse(path, error)
            return
        touch(path)
        self._saved[session] = session.n_tokens

    def after_answer(self, session: Session) -> None:
        """Save a session if it prefilled much that is not saved yet."""
        if session.n_tokens >= self._saved.get(session, 0) + MIN_TOKENS:
            self._save(session)

    def before_end(self, session: Session) -> None:
        """Save a long session that has anything that is not saved yet; its cache goes."""
        if session.n_tokens >= max(MIN_TOKENS, self._saved.get(session, 0) + 1):
            self._save(session)
        self.forget(session)

    def forget(self, session: Session) -> None:
        """Let go of a session, not of its file."""
        self._saved.pop(session, None)

    def stop(self) -> None:
        """Write nothing more."""
        self._store = None

    def _save(self, session: Session) -> None:
        """Write it down, unless it was stitched: prompts in other processes expect a prefill."""
        if self._store is None or session.is_stitched:
            return
        try:
            text = session.text_ids
            path = session.save(self._store.path_for(text))
            self._store.trim(text, path)
        except LongCtxError as error:
            logger.warning("the session is not kept on disk: %s", error)
        self._saved[session] = session.n_tokens
