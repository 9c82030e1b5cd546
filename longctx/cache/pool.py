"""Several conversations over one model, within its memory: the least recently used makes way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from longctx.cache.session import Session
from longctx.cache.store import MIN_TOKENS, SnapshotStore
from longctx.cache.window import Window
from longctx.errors import LongCtxError
from longctx.files import touch

logger = logging.getLogger("longctx")

MAX_SESSIONS = 8
WORTH_KEEPING = 512
"""Cached tokens that a call may throw away before another session is opened instead."""


class SessionPool:
    """Live sessions, most recently used last, and the folder that they move to.

    Args:
        new: opens an empty session.
        cost_bytes: memory of a session whose window has so many tokens.
        limit_bytes: memory for all of them; one is always allowed.
        store: where sessions are saved and looked up; None keeps none.
        besides_bytes: memory within that limit that something else holds now.
    """

    def __init__(
        self,
        new: Callable[[], Session],
        *,
        cost_bytes: Callable[[int], int],
        limit_bytes: int,
        store: SnapshotStore | None,
        besides_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._new = new
        self._cost_bytes = cost_bytes
        self._limit_bytes = limit_bytes
        self._store = store
        self._besides_bytes = besides_bytes
        self._sessions: list[Session] = []
        self._lent: list[Session] = []
        self._saved: dict[Session, int] = {}
        self._in_use: Sequence[Session] = ()

    def __len__(self) -> int:
        return len(self._sessions)

    def lend(self, session: Session) -> None:
        """Count the memory of a session that somebody else holds."""
        self._lent.append(session)

    def pick(self, ids: Sequence[int]) -> Session:
        """The session that has most of a prompt, live or saved; else a new one."""
        found = max(self._sessions, key=lambda s: s.shared(ids), default=None)
        shared = found.shared(ids) if found else 0
        saved, stored = self._store.best(ids) if self._store else (None, 0)
        if self._store and saved and stored >= shared + MIN_TOKENS:
            session = self._open()
            try:
                session.load(saved)
                touch(saved)
                self._saved[session] = session.n_tokens
                return session
            except LongCtxError as error:
                logger.warning("a saved session is not used: %s", error)
                self._store.refuse(saved, error)
                return session
        # A short beginning that all chats have in common is no reason to lose a long text.
        if found and found.n_tokens - shared <= max(shared, WORTH_KEEPING):
            self._sessions.append(self._sessions.pop(self._sessions.index(found)))
            return found
        return self._open()

    def holding(self, ids: Sequence[int]) -> Session | None:
        """The live session that has most of a prompt; None where none has any of it."""
        found = max(self._sessions, key=lambda s: s.shared(ids), default=None)
        return found if found and found.shared(ids) else None

    def holding_each(self, prompts: Sequence[Sequence[int]], *, beyond: int) -> dict[int, Session]:
        """Live sessions that have more than ``beyond`` tokens of some prompts, one for each."""
        found: dict[int, Session] = {}
        for i, ids in enumerate(prompts):
            free = [s for s in self._sessions if s not in found.values()]
            best = max(free, key=lambda s: s.shared(ids), default=None)
            if best and best.shared(ids) >= max(beyond + 1, len(ids) // 2):
                found[i] = best
        return found

    def has_saved(self, prompts: Sequence[Sequence[int]], beyond: int) -> bool:
        """Whether the folder has much more than ``beyond`` tokens of one of some prompts."""
        if self._store is None:
            return False
        return any(self._store.best(ids)[1] >= beyond + MIN_TOKENS for ids in prompts)

    def n_fitting(self, n_ctx: int) -> int:
        """How many windows of ``n_ctx`` tokens fit the memory, once others have made way."""
        lent = sum(self._cost_bytes(other.n_ctx) for other in self._lent if other.is_open)
        return (self._limit_bytes - self._besides_bytes() - lent) // self._cost_bytes(n_ctx)

    def add(self, session: Session) -> None:
        """Take a session in as the most recently used."""
        if session in self._lent:
            self._lent.remove(session)
        self.make_room(session.n_ctx)
        self._sessions.append(session)

    @contextmanager
    def using(self, sessions: Sequence[Session]) -> Iterator[None]:
        """While several answer at once, none of them makes way for another."""
        self._in_use = sessions
        try:
            yield
        finally:
            self._in_use = ()

    def keep(self, session: Session) -> None:
        """After an answer: save the session if it prefilled much that is not saved yet."""
        if self._store and session.n_tokens >= self._saved.get(session, 0) + MIN_TOKENS:
            self._save(session)

    def close(self) -> None:
        """Save what is worth it, and free every cache."""
        while self._sessions:
            self._evict(self._sessions[0])
        for session in self._lent:
            session.queue = None  # the caller has the turn
            session.close()
        self._lent.clear()

    def _open(self) -> Session:
        session = self._new()
        self.add(session)
        return session

    def make_room(self, n_ctx: int, window: Window | None = None) -> None:
        """Before a session has a window of ``n_ctx``: let others go where not all fit."""
        self._lent = [lent for lent in self._lent if lent.is_open]
        others = [
            other
            for other in self._sessions
            if other.window is not window and other not in self._in_use
        ]

        def used() -> int:
            in_use = [*self._lent, *self._in_use]
            held = [*others, *(other for other in in_use if other.window is not window)]
            return self._besides_bytes() + sum(self._cost_bytes(other.n_ctx) for other in held)

        while others and (
            used() + self._cost_bytes(n_ctx) > self._limit_bytes or len(others) >= MAX_SESSIONS
        ):
            oldest = others.pop(0)
            # The memory of a cache comes back with the last session in it.
            beside = [other for other in others if other.is_beside(oldest)]
            for session in [oldest, *beside]:
                self._evict(session)
            others = [other for other in others if other not in beside]

    def _evict(self, session: Session) -> None:
        if self._store and session.n_tokens >= max(MIN_TOKENS, self._saved.get(session, 0) + 1):
            self._save(session)
        self._sessions.remove(session)
        self._saved.pop(session, None)
        session.close()

    def _save(self, session: Session) -> None:
        """Write it down, unless it was stitched: prompts in other processes expect a prefill."""
        assert self._store is not None
        if session.is_stitched:
            return
        try:
            text = session.text_ids
            path = session.save(self._store.path_for(text))
            self._store.trim(text, path)
        except LongCtxError as error:
            logger.warning("the session is not kept on disk: %s", error)
        self._saved[session] = session.n_tokens
