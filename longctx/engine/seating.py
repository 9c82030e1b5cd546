"""Where answers stand: in streams, apart from each other, or among all texts in shared cells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from longctx.cache import Session
from longctx.engine.kv_streams import KVStreams
from longctx.engine.pool import SessionPool
from longctx.engine.writing import Writing
from longctx.errors import BackendError

logger = logging.getLogger("longctx")

WORTH_TOKENS = 128
"""A prompt's tokens from which on the two copies cost less than they save, if its answer is then
written among the others."""
N_PREFILLING = 2
"""Prompts in streams at once: the one that came first, and a shorter one that overtakes it. The
others wait, for all get the same processor."""
Placed = tuple[Writing, Session]


class Seating:
    """Moves answers between rounds.

    Those that have their prompt are decoded in one batch, or the weights would be read twice. So
    they stand in streams if all are short enough for it, or none does. A prompt is prefilled in a
    batch of its own, and may stand in a stream whatever the others do.

    Args:
        pool: where sessions come from, and go when they leave a stream.
        streams: where they may stand apart.
        fail: ends an answer whose session cannot be moved.
    """

    def __init__(
        self, pool: SessionPool, streams: KVStreams, fail: Callable[[Writing, BackendError], None]
    ) -> None:
        self._pool = pool
        self._streams = streams
        self._fail = fail
        self._later: set[Writing] = set()
        self._placed: list[Placed] = []

    def is_apart(self, session: Session) -> bool:
        """Whether a session stands in a stream."""
        return self._streams.holds(session)

    def waits(self, writing: Writing) -> bool:
        """Whether a prompt shall not be prefilled yet, for a stream will soon be free for it."""
        return writing in self._later

    def arrange(self, active: Sequence[Writing]) -> None:
        """Let every answer under way stand where it is decoded fastest."""
        self._later = set()
        self._placed = [
            (w, w.session) for w in active if w.session is not None and w.session.is_open
        ]
        if not self._streams.concern(session for _, session in self._placed):
            return
        self.clear(active)
        decoding = [(w, session) for w, session in self._placed if not w.n_pending]
        prefilling = [(w, session) for w, session in self._placed if w.n_pending]
        try:
            apart = self._may_stand_apart(decoding)
            for writing, session in decoding:
                if apart and not self.is_apart(session):
                    self._streams.enter(session)
                elif not apart and self.is_apart(session):
                    self._leave(writing, session)
            self._place_prompts(prefilling, is_joining=apart)
            self._streams.line_up(self._apart(decoding), self._apart(prefilling))
        except BackendError:  # no memory for it, which is no reason to fail
            logger.warning("answers are written in shared cells", exc_info=True)

    def _apart(self, placed: Sequence[Placed]) -> list[Session]:
        return [session for _, session in placed if self.is_apart(session)]

    # Leaving

    def clear(self, active: Sequence[Writing]) -> None:
        """Bring the texts whose answers have ended to where texts are kept: there others can share
        their cells, and passages be attached to them."""
        if not self._streams.are_taken:
            return
        under_way = {writing.session for writing in active}
        for session in self._pool.sessions:
            if session in under_way or not self.is_apart(session):
                continue
            try:
                settled = self._pool.settle(session, 0)
            except BackendError:
                settled = False
            # Nobody reads on in it, and the room here is for answers.
            if not settled:
                self._pool.drop(session)

    def _leave(self, writing: Writing, session: Session) -> None:
        """Bring an answer to the others; where there are no cells for it, it stays for now."""
        try:
            # With room for its next tokens; else it would be the first to make way there.
            self._pool.settle(session, writing.headroom)
        except BackendError as error:
            self._fail(writing, error)

    # Coming

    def _may_stand_apart(self, decoding: Sequence[Placed]) -> bool:
        """Whether all that are decoded shall be in streams, and there are streams for them."""
        coming = [(w, session) for w, session in decoding if not self.is_apart(session)]
        here = [(w, session) for w, session in decoding if self.is_apart(session)]
        if not all(self._streams.takes(session) for _, session in coming):
            return False
        # One that comes shall not have to leave again with its next tokens.
        lengths = [session.n_tokens + w.headroom for w, session in coming]
        lengths += [session.n_tokens + 1 for _, session in here]
        if not here:
            # With streams to spare, or they would soon leave again for the next that comes.
            n_streams = len(coming) + len(coming) // 3
            if not any(self._streams.frees(session) for _, session in coming):
                return False
            if not self._streams.bear(n_streams, max(lengths)):
                return False
        return self._reach(len(coming), max(lengths))

    def _place_prompts(self, prefilling: Sequence[Placed], *, is_joining: bool) -> None:
        """Let prompts be prefilled where they stand alone, the oldest and then the shortest.

        Args:
            prefilling: those under way, the oldest first.
            is_joining: whether those who decode are there, too.
        """
        n_free = N_PREFILLING - len(self._apart(prefilling))
        coming = [each for each in prefilling if self._shall_come(*each, is_joining=is_joining)]
        # The shortest are soon done; but if they always went first, the oldest might never go.
        for each in sorted(coming, key=lambda each: (each is not coming[0], each[0].n_pending)):
            writing, session = each
            # What becomes free is for the first that waits: no other may take it from under it.
            if self._later or n_free <= 0:
                self._later.add(writing)
            elif self._reach(1, _n_cells(writing)):
                self._streams.enter(session)
                n_free -= 1

    def _shall_come(self, writing: Writing, session: Session, *, is_joining: bool) -> bool:
        if self.is_apart(session) or not self._streams.takes(session):
            return False
        if not self._streams.bear(len(self._apart(self._placed)) + 1, _n_cells(writing)):
            return False
        return is_joining or (writing.n_pending >= WORTH_TOKENS and self._streams.frees(session))

    def _reach(self, n_more: int, n_cells: int) -> bool:
        """Have streams of so many cells for some more than are in them."""
        here = [(w, session) for w, session in self._placed if self.is_apart(session)]
        n_texts = len(here) + n_more
        if self._streams.has(n_texts, n_cells):
            return True
        # Those that are there shall find their place again in what is opened instead.
        n_cells = max([n_cells, *(session.n_tokens + w.n_pending + 1 for w, session in here)])
        # For all that are under way, if there can be so many: each may come, and opening takes
        # longer than a batch.
        if self._streams.bear(len(self._placed), n_cells):
            n_texts = max(n_texts, len(self._placed))
        elif not self._streams.bear(n_texts, n_cells):
            return False
        # Another context is opened when this one is empty.
        for writing, session in here:
            self._leave(writing, session)
        if not self._streams.open(n_texts, n_cells):
            return False
        for _, session in here:
            if session.is_open:
                self._streams.enter(session)
        return True


def _n_cells(writing: Writing) -> int:
    """Cells that an answer needs in a stream that it shall not leave with its first tokens."""
    return len(writing.ids) + writing.headroom
