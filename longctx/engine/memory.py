"""Memory of the sessions over one model: who holds how much, and whether there is more for one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from longctx.cache import Session
from longctx.cache.window import Window
from longctx.engine.common import CommonContexts

MAX_COMMON_CONTEXTS = 2
"""Each has the whole window's memory: with more, what is kept for later would be many times what
the plan says of one."""
MAX_CONTEXTS = 8
"""Contexts of texts that cannot stand in a common one, beyond those that answers need."""


@dataclass(frozen=True)
class Held:
    """The sessions that hold memory, most recently used last.

    Every one in use, by an answer, is among ``sessions``; one that was lent is not, until it comes
    back.
    """

    sessions: list[Session] = field(default_factory=list)
    in_use: set[Session] = field(default_factory=set)
    # Whoever borrowed a session may forget it; that is no reason to hold its memory.
    lent: weakref.WeakSet[Session] = field(default_factory=weakref.WeakSet)


class PoolMemory:
    """Counts what sessions hold against a limit, and changes nothing.

    A text in a common context has cells, and no memory of its own: the context's is there whether
    it has them or not.

    Args:
        held: whose memory it is.
        common: the contexts that most of them stand in.
        cost_bytes: memory of a context whose window has so many tokens.
        limit_bytes: memory for all of them; one is always allowed.
        besides_bytes: memory within that limit that something else holds now.
    """

    def __init__(
        self,
        held: Held,
        common: CommonContexts,
        *,
        cost_bytes: Callable[[int], int],
        limit_bytes: int,
        besides_bytes: Callable[[], int],
    ) -> None:
        self._held = held
        self._common = common
        self.cost_bytes = cost_bytes
        self._limit_bytes = limit_bytes
        self._besides_bytes = besides_bytes

    def has_room(self, n_bytes: int) -> bool:
        """Whether the plan's memory bears so much more, without anything making way for it."""
        return self._used_bytes() + n_bytes <= self._limit_bytes

    def has_spare(self, n_bytes: int) -> bool:
        """Whether there is so much more, and all common contexts may be open besides."""
        n_more = MAX_COMMON_CONTEXTS - self._common.n_open
        return self.has_room(n_bytes + n_more * self._common_bytes)

    def bears_common(self) -> bool:
        """Whether one more common context may be opened; the first always may."""
        n_open = self._common.n_open
        return not n_open or (n_open < MAX_COMMON_CONTEXTS and self.has_room(self._common_bytes))

    def bears_own(self) -> bool:
        """Whether a context for a new text fits beside those in use, once all others have gone."""
        in_use = self._of([*self._held.in_use, *self._held.lent])
        memory = self._besides_bytes() + in_use + self.cost_bytes(self._common.first_window)
        return memory <= self._limit_bytes and len(self._held.in_use) < MAX_CONTEXTS

    def bears(self, n_ctx: int, window: Window | None = None) -> bool:
        """Whether an answer, in this window or in none yet, may have a window of ``n_ctx`` beside
        the other answers, once all that is only kept has gone.

        Where no other answer would ever make way for it, it may.
        """
        if self._common.fits(n_ctx):
            return True
        others = [each for each in self._held.in_use if each.window is not window]
        rivals = {s.shared_context: s for s in others if self.holds(s)}
        if not rivals:
            return True
        taken = sum(self._own_bytes(s) or self._common_bytes for s in rivals.values())
        first = self._common_bytes if self._common.n_open else 0
        beside = self._besides_bytes() + first + self._of(self._held.lent)
        return beside + taken + self.cost_bytes(n_ctx) <= self._limit_bytes

    def has_room_for(self, n_ctx: int, window: Window | None) -> bool:
        """Whether a context of ``n_ctx`` fits beside all there is, but for what this window gives
        back before it takes the larger one."""
        freed = self._of([s for s in self._held.sessions if s.window is window])
        return self.has_room(self.cost_bytes(n_ctx) - freed)

    def holds(self, session: Session) -> bool:
        """Whether there would be memory for others if what a session stands in went."""
        shared = session.shared_context if session.is_open else None
        return shared is not None and (not shared.is_common or shared in self._common.beside_first)

    @property
    def _common_bytes(self) -> int:
        return self.cost_bytes(self._common.n_ctx)

    def _used_bytes(self) -> int:
        """Memory of everything that is open, with what stands beside it."""
        common = self._common.n_open * self._common_bytes
        return self._besides_bytes() + common + self._of([*self._held.sessions, *self._held.lent])

    def _of(self, sessions: Iterable[Session]) -> int:
        return sum(map(self._own_bytes, sessions))

    def _own_bytes(self, session: Session) -> int:
        if not session.is_open or session.shared_context.is_common:
            return 0
        return self.cost_bytes(session.n_ctx)
