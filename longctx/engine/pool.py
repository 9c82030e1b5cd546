"""Conversations over one model, within its memory: the least recently used makes way."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

from longctx.cache import Session
from longctx.cache.cells import Ids
from longctx.cache.window import Window
from longctx.engine.common import CommonContexts
from longctx.engine.store import MIN_TOKENS, SnapshotStore
from longctx.errors import LongCtxError, SnapshotMismatchError

logger = logging.getLogger("longctx")

MAX_OWN_CONTEXTS = 8
"""Conversations with a context of their own."""
WORTH_KEEPING = 512
"""Cached tokens that a call may throw away before another session is opened instead."""
WORTH_COPYING = 64
"""Tokens that another conversation must have in common to be copied from; also the most that an
answer may throw away of one when copying would cost nothing."""


class SessionPool:
    """Live sessions, most recently used last, and the folder that they move to.

    A session is in use while an answer is written in it; the others are kept for what they
    have cached, and make way for each other and for answers.

    Args:
        new: opens an empty session.
        common: the context that most of them stand in.
        cost_bytes: memory of a context whose window has so many tokens.
        limit_bytes: memory for all of them; one is always allowed.
        store: where sessions are saved and looked up; None keeps none.
        besides_bytes: memory within that limit that something else holds now.
    """

    def __init__(
        self,
        new: Callable[[], Session],
        common: CommonContexts,
        *,
        cost_bytes: Callable[[int], int],
        limit_bytes: int,
        store: SnapshotStore | None,
        besides_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._new = new
        self._common = common
        self._cost_bytes = cost_bytes
        self._limit_bytes = limit_bytes
        self._store = store
        self._besides_bytes = besides_bytes
        self._sessions: list[Session] = []
        self._in_use: set[Session] = set()
        # Whoever borrowed a session may forget it; that is no reason to hold its memory.
        self._lent: weakref.WeakSet[Session] = weakref.WeakSet()
        self._saved: dict[Session, int] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All that are held here, most recently used last."""
        return tuple(self._sessions)

    # For answers

    def pick(self, ids: Ids, n_more: int = 0, *, must: bool = False) -> Session | None:
        """Find or open the session in which a prompt needs the least prefill, and use it.

        Args:
            ids: the prompt.
            n_more: tokens of its answer to have cells for, besides.
            must: open one even if memory must be taken that the plan did not foresee.

        Returns:
            The session, in use until :meth:`give_back`; None where others must end first.
        """
        must = must or not self._in_use
        session = self._saved_session(ids, must) or self._live_session(ids)
        if session is None and (must or self._can_open()):
            session = self._open()
        if session is None:
            return None
        self._in_use.add(session)
        if self._make_cells(session, ids, n_more) or must:
            return session
        self.give_back(session)
        return None

    def give_back(self, session: Session) -> None:
        """An answer ended: its session makes way when it must, the last of all."""
        self._in_use.discard(session)
        if session in self._sessions:
            self._sessions.append(self._sessions.pop(self._sessions.index(session)))

    def evict_idle(self, besides: Session | None = None) -> bool:
        """Let the least recently used session in the common context go; False if there is none."""
        for session in self._sessions:
            if session not in self._in_use and session is not besides and self._is_common(session):
                self._evict(session)
                return True
        return False

    def drop(self, session: Session) -> None:
        """Free a session in use, whose answer must begin again elsewhere."""
        self._in_use.discard(session)
        self._evict(session)

    def shared(self, ids: Ids) -> int:
        """Tokens of a prompt that some session has already."""
        return max((session.shared(ids) for session in self._sessions), default=0)

    def _saved_session(self, ids: Ids, must: bool) -> Session | None:
        """One from the folder that has much more of a prompt than any live one."""
        if self._store is None:
            return None
        path, stored = self._store.best(ids)
        if path is None or stored < self.shared(ids) + MIN_TOKENS:
            return None
        if not (must or self._can_open()):
            return None
        session = self._open()
        try:
            session.load(path)
        except SnapshotMismatchError as error:
            logger.warning("a saved session is not used: %s", error)
            if error.is_damaged:
                path.unlink(missing_ok=True)
            return session
        except LongCtxError as error:  # it does not fit now; another window may hold it
            logger.warning("a saved session is not used: %s", error)
            return session
        self._store.touch(path)
        self._saved[session] = session.n_tokens
        return session

    def _live_session(self, ids: Ids) -> Session | None:
        """An idle session to go on in, or a copy of one that has more of a prompt in common."""
        idle = [session for session in self._sessions if session not in self._in_use]
        own = max(idle, key=lambda s: s.shared(ids), default=None)
        own_shared = own.shared(ids) if own is not None else 0
        lost = own.n_tokens - own_shared if own is not None else 0
        source = max(
            (s for s in self._sessions if self._is_common(s)),
            key=lambda s: s.shared(ids),
            default=None,
        )
        shared = source.shared(ids) if source is not None else 0
        copies = shared >= WORTH_COPYING and (shared > own_shared or lost > WORTH_COPYING)
        if source is not None and copies and self._has_sequence(source):
            twin = source.fork()
            self._lent.discard(twin)
            self._sessions.append(twin)
            return twin
        # A short beginning that all chats have in common is no reason to lose a long text.
        if own is not None and lost <= max(own_shared, WORTH_KEEPING):
            return own
        return None

    def _has_sequence(self, besides: Session | None = None) -> bool:
        """Whether the common context has a free sequence, if need be one that was idle."""
        shared = self._common.shared
        if shared is None:
            return True
        return shared.n_free_sequences > 0 or self.evict_idle(besides)

    def _can_open(self) -> bool:
        if self._common.is_for_all:
            return self._has_sequence()
        first = self._common.first_window
        in_use = sum(self._own_bytes(session) for session in self._in_use)
        busy = sum(1 for session in self._in_use if not self._is_common(session))
        fits = self._fixed_bytes() + in_use + self._cost_bytes(first) <= self._limit_bytes
        return fits and busy < MAX_OWN_CONTEXTS

    def _make_cells(self, session: Session, ids: Ids, n_more: int) -> bool:
        """Let idle sessions go until a prompt has cells; False where that is not enough."""
        if not self._is_common(session):
            return True
        shared = session.shared_context
        needed = min(len(ids) - session.shared(ids) + n_more, shared.context.n_ctx)
        while not shared.has_free_cells(needed):
            if not self.evict_idle():
                return False
        return True

    # For others

    def lend(self, session: Session) -> None:
        """Count the memory of a session that somebody else holds."""
        self._lent.add(session)

    def holding(self, ids: Ids) -> Session | None:
        """The live session that has most of a prompt; None where none has any of it."""
        found = max(self._sessions, key=lambda s: s.shared(ids), default=None)
        return found if found and found.shared(ids) else None

    def add(self, session: Session) -> None:
        """Take a session in as the most recently used."""
        self._lent.discard(session)
        self.make_room(session.n_ctx, session.window)
        self._sessions.append(session)

    def keep(self, session: Session) -> None:
        """After an answer: save the session if it prefilled much that is not saved yet."""
        if self._store and session.n_tokens >= self._saved.get(session, 0) + MIN_TOKENS:
            self._save(session)

    def close(self, *, save: bool) -> None:
        """Free every cache, after saving what is worth it if that is wanted."""
        if not save:
            self._store = None
        while self._sessions:
            self._evict(self._sessions[0])
        for session in list(self._lent):
            session.close()
        self._lent.clear()
        self._in_use.clear()

    def make_room(self, n_ctx: int, window: Window | None = None) -> None:
        """Before a session has a window of ``n_ctx`` to itself: let others go if not all fit."""
        if window is not None and self._common.keeps(window.cells.shared, n_ctx):
            return
        others = [
            other
            for other in self._sessions
            if other.window is not window
            and other not in self._in_use
            and not self._is_common(other)
        ]

        def used() -> int:
            held = [*others, *self._lent, *self._in_use]
            return self._fixed_bytes() + sum(
                self._own_bytes(other) for other in held if other.window is not window
            )

        while others and (
            used() + self._cost_bytes(n_ctx) > self._limit_bytes or len(others) >= MAX_OWN_CONTEXTS
        ):
            self._evict(others.pop(0))

    def _fixed_bytes(self) -> int:
        common = self._cost_bytes(self._common.n_ctx) if self._common.n_ctx else 0
        return self._besides_bytes() + common

    def _own_bytes(self, session: Session) -> int:
        if not session.is_open or self._is_common(session):
            return 0
        return self._cost_bytes(session.n_ctx)

    def _is_common(self, session: Session) -> bool:
        return session.is_open and session.shared_context.is_common

    def _open(self) -> Session:
        if not self._common.is_for_all:
            self.make_room(self._common.first_window)
        session = self._new()
        self.add(session)
        return session

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
