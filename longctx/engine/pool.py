"""Conversations over one model, within its memory: the least recently used makes way."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

from longctx._native import CacheFullError
from longctx.cache import Session
from longctx.cache.cells import Ids
from longctx.cache.shared import SharedContext
from longctx.cache.window import Window
from longctx.engine.common import CommonContexts
from longctx.engine.keeping import Keeping
from longctx.engine.kv_streams import MAX_SHARED
from longctx.engine.memory import MAX_CONTEXTS, Held, PoolMemory
from longctx.engine.store import SnapshotStore
from longctx.errors import BackendError
from longctx.model_thread import ModelThread
from longctx.prompt import CompressedSpan

WORTH_KEEPING = 512
"""Cached tokens that a call may throw away before a session with a context of its own is opened
instead."""
WORTH_COPYING = 16
"""Tokens that another conversation must have in common to be copied from; chat templates begin with
so many."""
WORTH_LOSING = 64
"""Cached tokens that a call may throw away where another session costs no context."""


class MemoryTakenError(CacheFullError):
    """A window cannot grow beside those of other answers; nothing has changed."""


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
        free_besides: lets go of what of it can be had again.

    Attributes:
        memory: what they hold of it.
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
        free_besides: Callable[[], None] = lambda: None,
    ) -> None:
        held = Held()
        self._new = new
        self._common = common
        self._keeping = Keeping(store)
        self._sessions, self._in_use, self._lent = held.sessions, held.in_use, held.lent
        self.memory = PoolMemory(
            held,
            common,
            cost_bytes=cost_bytes,
            limit_bytes=limit_bytes,
            besides_bytes=besides_bytes,
        )
        self._free_besides = free_besides
        common.when_full(self._relieve)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All that are held here, most recently used last."""
        return tuple(self._sessions)

    # For answers

    def pick(
        self,
        ids: Ids,
        n_more: int = 0,
        *,
        compressed: Sequence[CompressedSpan] = (),
        must: bool = False,
    ) -> Session | None:
        """Find or open the session in which a prompt needs the least prefill, and use it.

        Args:
            ids: the prompt.
            n_more: tokens of its answer to have cells for, besides.
            compressed: its passages that shall stand compressed, and no others.
            must: open one even if memory must be taken that the plan did not foresee.

        Returns:
            The session, in use until :meth:`give_back`; None where others must end first.
        """
        must = must or not self._in_use  # nobody would ever end, and make way
        if not (must or self.memory.bears(self._common.window_for(len(ids) + n_more))):
            return None  # before one is opened or filled, for it could not grow
        session = self._saved_session(ids, n_more, compressed, must)
        session = session or self._live_session(ids, compressed)
        if session is None:
            if not self.make_place(len(ids) + n_more) and not must:
                return None
            # Where one has just made way, there may be a place for a copy now.
            session = self._live_session(ids, compressed) or self._open()
        # In use from here on, or looking for cells could evict the very session they are for.
        self._in_use.add(session)
        try:
            shared = session.shared(ids, compressed, whole=True)
            if self._make_cells(session, shared, len(ids) + n_more) or must:
                return session
        except BaseException:  # llama.cpp had no memory; it must not stay in use for that
            self.give_back(session)
            raise
        self.give_back(session)
        return None

    def give_back(self, session: Session) -> None:
        """An answer ended: its session makes way when it must, the last of all.

        One that lost its cache, because llama.cpp had no memory for a larger one nor for the old
        one again, is let go.
        """
        self._in_use.discard(session)
        if session in self._sessions:
            self._sessions.remove(session)
            if session.is_open:
                self._sessions.append(session)
            else:
                self._keeping.forget(session)

    def drop(self, session: Session) -> None:
        """Free a session in use, whose answer must begin again elsewhere."""
        self._in_use.discard(session)
        self._evict(session)

    def _make_cells(self, session: Session, n_kept: int, n_tokens: int) -> bool:
        """Let a session have cells to grow to ``n_tokens``, where it does not yet; False if it
        cannot. It has ``n_kept`` of them, and shares those perhaps."""
        shared = session.shared_context
        n_tokens = min(n_tokens, shared.context.n_ctx)
        needed = n_tokens - n_kept

        def are_enough() -> bool:
            # What moves cannot stay in cells that others stand in, too.
            if session.window.stays(n_kept, n_tokens):
                return shared.has_cells_behind(session.sequence, needed)
            return shared.has_cells_for(session.sequence, n_tokens)

        if not shared.is_common or are_enough():
            return True
        return self._move_or_evict(session, session.n_tokens + needed, are_enough)

    def free_cells(self, session: Session, needed: int) -> bool:
        """Where a session's context is full: let it move to another, or idle ones go.

        Returns:
            False where that does not bring cells for so many more tokens.
        """
        shared = session.shared_context
        needed = min(needed, shared.context.n_ctx)
        return self._move_or_evict(
            session,
            session.n_tokens + needed,
            lambda: shared.has_cells_behind(session.sequence, needed),
        )

    def _move_or_evict(
        self, session: Session, n_tokens: int, are_enough: Callable[[], bool]
    ) -> bool:
        # Moving copies a text, evicting gives one up: it moves as long as there is a place.
        shared = session.shared_context
        whole = min(n_tokens, shared.context.n_ctx)
        place = self._common.place_for(whole, besides=shared) or self._relieve(shared, are_enough)
        if place is not None:
            session.move(place)
        return place is not None or are_enough()

    def _relieve(self, full: SharedContext, are_enough: Callable[[], bool]) -> SharedContext | None:
        """Open one more common context, or let idle sessions leave a full one."""
        if self.memory.bears_common():
            return self._common.open()
        while not are_enough() and self._evict_idle(full):
            pass
        return None

    def settle(self, session: Session, n_more: int) -> bool:
        """Bring a session that was prefilled apart to where texts stay, with cells for more.

        Returns:
            False where others must end first.
        """
        whole = min(session.n_tokens + n_more, self._common.n_ctx)
        is_idle = session not in self._in_use
        self._in_use.add(session)  # it shall not make way for itself
        try:
            place = self._common.place_for(whole) if self.make_place(whole) else None
            if place is not None:
                session.move(place)
        finally:
            if is_idle:
                self._in_use.discard(session)
        return place is not None

    def shared(self, ids: Ids, compressed: Sequence[CompressedSpan] = ()) -> int:
        """Tokens of a prompt that some session has already."""
        return max(
            (session.shared(ids, compressed, whole=True) for session in self._sessions), default=0
        )

    def _saved_session(
        self, ids: Ids, n_more: int, compressed: Sequence[CompressedSpan], must: bool
    ) -> Session | None:
        """One from the folder that has much more of a prompt than any live one."""
        begin = ids[: compressed[0].begin] if compressed else ids
        path = self._keeping.find(begin, lambda: self.shared(ids, compressed))
        if path is None or not (self.make_place(len(ids) + n_more) or must):
            return None
        session = self._open()
        self._in_use.add(session)  # or it might make way for what it is filled with
        self._keeping.load(session, path)
        return session

    def _live_session(self, ids: Ids, compressed: Sequence[CompressedSpan]) -> Session | None:
        """An idle session to go on in, or a copy of one that has more of a prompt in common; None
        where a new one would lose less."""
        shared = {s: s.shared(ids, compressed, whole=True) for s in self._sessions}
        idle = [session for session in self._sessions if session not in self._in_use]
        own = max(idle, key=lambda s: shared[s], default=None)
        own_shared = shared[own] if own is not None else 0
        lost = own.n_tokens - own_shared if own is not None else 0
        source = max(
            (s for s in self._sessions if self._is_common(s)),
            # Of texts with as much, one whose cells a copy can share.
            key=lambda s: (shared[s], not s.shared_context.has_streams),
            default=None,
        )
        n_shared = shared[source] if source is not None else 0
        copies = n_shared >= WORTH_COPYING and (n_shared > own_shared or lost > WORTH_LOSING)
        if source is not None and copies and self._can_fork(source, n_shared):
            twin = source.fork()
            self._lent.discard(twin)  # fork() lends it, as if to a caller; this one is ours
            self._sessions.append(twin)
            return twin
        if own is not None and lost > WORTH_LOSING and self._common.is_for_all:
            # Another conversation: of those that have about as much in common with it, the least
            # recently used makes way, and not one that happens to begin with the same word.
            own = next(s for s in idle if shared[s] >= own_shared - WORTH_COPYING)
            own_shared, lost = shared[own], own.n_tokens - shared[own]
        # A short beginning that all chats have in common is no reason to lose a long text.
        may_lose = WORTH_LOSING if self._common.is_for_all else WORTH_KEEPING
        return own if lost <= max(own_shared, may_lose) else None

    def _can_fork(self, source: Session, n_shared: int) -> bool:
        """Whether there is a place for a copy, of which so many tokens will be kept. Nobody makes
        way for it."""
        if not source.shared_context.has_streams:
            return source.shared_context.n_free_sequences > 0
        # A copy of what is in a stream stands in shared cells. If the two have much in common, they
        # shall share the cells of that.
        place = self._common.place_for(source.n_tokens)
        if place is not None and n_shared > MAX_SHARED:
            source.move(place)
            return place.n_free_sequences > 0
        return place is not None

    # Room

    def make_place(self, n_tokens: int) -> bool:
        """Let a new session find a context with cells for so many tokens; False if it cannot."""
        if not self._common.is_for_all:
            return self.memory.bears_own()
        n_tokens = min(n_tokens, self._common.n_ctx)
        if self._common.place_for(n_tokens) is not None:
            return True
        if self.memory.bears_common():
            self._common.open()
            return True
        while self._evict_idle():
            if self._common.place_for(n_tokens) is not None:
                return True
        return False

    def make_room(self, n_ctx: int, window: Window | None = None) -> None:
        """Before a text has a context of ``n_ctx`` to itself: let others go if not all fit.

        Raises:
            MemoryTakenError: answers under way have the memory of what one of them takes more.
        """
        if window is not None and self._common.keeps(window.cells.shared, n_ctx):
            return
        is_answered = any(session.window is window for session in self._in_use)
        if is_answered and not self.memory.bears(n_ctx, window):
            raise MemoryTakenError(
                f"others have the memory of a window of {n_ctx} tokens; ask again when they have "
                "ended, or raise memory_limit"
            )
        if not self.memory.has_room_for(n_ctx, window):
            self._free_besides()
        others = [
            other
            for other in self._sessions
            if other.window is not window
            and other not in self._in_use
            and not self._is_common(other)
        ]
        while others and (
            not self.memory.has_room_for(n_ctx, window) or len(others) >= MAX_CONTEXTS
        ):
            self._evict(others.pop(0))
        for shared in self._common.beside_first:
            while not self.memory.has_room_for(n_ctx, window) and self._evict_idle(shared):
                pass

    def _is_common(self, session: Session) -> bool:
        return session.is_open and session.shared_context.is_common

    # For others

    def lend(self, session: Session) -> None:
        """Count the memory of a session that somebody else holds, and free it if they drop it."""
        self._lent.add(session)
        if session.thread is not None:
            weakref.finalize(session, _free, session.thread, session.release).atexit = False

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
        self._keeping.after_answer(session)

    def close(self, *, save: bool) -> None:
        """Free every cache, after saving what is worth it if that is wanted."""
        if not save:
            self._keeping.stop()  # evicting, below, would write them
        while self._sessions:
            self._evict(self._sessions[0])
        for session in list(self._lent):
            session.close()
        self._lent.clear()
        self._in_use.clear()

    def _open(self) -> Session:
        if not self._common.is_for_all:
            self.make_room(self._common.first_window)
        session = self._new()
        self.add(session)
        return session

    def _evict_idle(self, shared: SharedContext | None = None) -> bool:
        """Let the least recently used session of a common context go; False if there is none."""
        for session in self._sessions:
            if session in self._in_use or not self._is_common(session):
                continue
            if shared is None or session.shared_context is shared:
                self._evict(session)
                return True
        return False

    def _evict(self, session: Session) -> None:
        self._keeping.before_end(session)
        self._sessions.remove(session)
        session.close()
        # A common context outlives its sequences; the memory is only back when it goes as well.
        self._common.close_empty()


def _free(thread: ModelThread, release: Callable[[], None]) -> None:
    with suppress(BackendError):  # the model is closed, and this with it
        thread.post(release)
