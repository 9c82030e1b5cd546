"""Continuous batching: every answer under way gets a token of each batch, prompts the rest of it.

Answers join and leave between batches (Orca, Yu et al. 2022, section 3.1), and a long prompt is
prefilled in slices beside the tokens of the others (Sarathi, Agrawal et al. 2024, section 4), so
that nobody stands still behind it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from longctx._native import CacheFullError, Model
from longctx.backends import Backend
from longctx.cache import Session, common_prefix
from longctx.cache.shared import SharedContext
from longctx.channel import WakingTogether
from longctx.engine.decoding import Decoder, Piece
from longctx.engine.kv_streams import KVStreams
from longctx.engine.pool import MemoryTakenError, SessionPool
from longctx.engine.seating import Seating
from longctx.engine.writing import Writing
from longctx.errors import BackendError
from longctx.grammar import TokenTable

logger = logging.getLogger("longctx")

WORTH_WAITING = 64
"""Tokens of a prompt that somebody else must be prefilling for its answer to wait for them."""


class Scheduler:
    """Writes all answers that are asked for, a batch at a time.

    Args:
        backend: the threads of decode.
        model: draws the tokens.
        tokens: of the model, for what steers answers.
        pool: where sessions come from.
        streams: where short answers may stand apart.
    """

    def __init__(
        self,
        backend: Backend,
        model: Model,
        tokens: TokenTable,
        pool: SessionPool,
        streams: KVStreams,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._pool = pool
        self._waiting: deque[Writing] = deque()
        self._active: list[Writing] = []
        self._ended_by: Exception | None = None
        self._decoder = Decoder(backend)
        self._seating = Seating(pool, streams, self._fail)

    def __len__(self) -> int:
        """Answers asked for and not done."""
        return len(self._waiting) + len(self._active)

    def add(self, writing: Writing) -> None:
        """Let an answer begin when there is room for it."""
        if self._ended_by is not None:
            writing.fail(self._ended_by)
        else:
            self._waiting.append(writing)

    def round(self) -> bool:
        """Decode one batch for each context that answers stand in; whether there is more to do."""
        # First of all: what they leave behind may be room for one who waits.
        for writing in [writing for writing in self._active if writing.is_cancelled]:
            self._leave(writing)
        if any(writing.is_cancelled for writing in self._waiting):
            self._waiting = deque(w for w in self._waiting if not w.is_cancelled)
        self._admit()
        self._seating.arrange(tuple(self._active))
        # A step may end answers, and move others to another context; each context has one a round,
        # and who came to one that had it already waits for the next.
        done: list[SharedContext] = []
        for writing in tuple(self._active):
            if writing not in self._active:
                continue  # it ended in a step before, and its session may be another's by now
            shared = self._context_of(writing)
            if shared is not None and shared not in done:
                done.append(shared)
                self._step_apart(shared)
        self._seating.clear(self._active)
        return bool(self._active or self._waiting)

    def _context_of(self, writing: Writing) -> SharedContext | None:
        """Where an answer stands; one whose session lost its cache ends here, and alone."""
        if writing.session is None:
            return None
        try:
            return writing.session.shared_context
        except BackendError as error:
            logger.exception("an answer lost its cache")
            self._fail(writing, error)
            return None

    def _step_apart(self, shared: SharedContext) -> None:
        """A step whose failure, a bug of ours, ends the answers of one context and no others."""
        here = [writing for writing in self._active if _stands_in(writing, shared)]
        try:
            self._step(shared)
        except Exception as error:
            logger.exception("a batch failed")
            # Also one that has just left it: who knows in what state.
            for writing in here:
                if writing in self._active:
                    self._fail(writing, error)

    def end(self, error: Exception) -> None:
        """Tell everybody who waits, and whoever comes from now on, that there is no more."""
        self._ended_by = error
        for writing in [*self._active, *self._waiting]:
            writing.fail(error)
        self._active.clear()
        self._waiting.clear()

    # Coming and going

    def _admit(self) -> None:
        """Begin the answers that there is room for, in the order in which they were asked for."""
        for writing in tuple(self._waiting):
            if self._is_being_prefilled(writing):
                continue  # it waits for a prefill, not for room: others may begin before it
            try:
                session = self._pool.pick(
                    writing.ids, writing.headroom, compressed=writing.compressed
                )
            except Exception as error:  # no memory for a context, most likely
                self._waiting.remove(writing)
                writing.fail(error)
                continue
            if session is None:
                return  # nobody overtakes who waits for room, or a long prompt would starve
            if not self._begin(writing, session):
                return  # it waits for room now, as above

    def _begin(self, writing: Writing, session: Session) -> bool:
        """Let an answer go on in a session; whatever is wrong with it is told its reader.

        Returns:
            False where it waits on, in its place.
        """
        place = self._waiting.index(writing)
        del self._waiting[place]
        self._active.append(writing)
        try:
            writing.begin(session, self._model, self._tokens)
        except CacheFullError:
            # What was found of its prompt finds no cells where it must stand now: it goes, and the
            # answer begins without it when there is room.
            logger.info("an answer waits: others have the cells of what is cached of its prompt")
            self._active.remove(writing)
            self._pool.drop(session)
            writing.session = None
            self._waiting.insert(place, writing)
            return False
        except Exception as error:
            # begin() may have failed before it took the session, and _fail must give it back.
            writing.session = session
            self._fail(writing, error)
        return True

    def _is_being_prefilled(self, waiting: Writing) -> bool:
        """Whether an answer under way is just prefilling what this one's prompt begins with, too.

        Waiting for it costs less than prefilling the same a second time beside it.
        """
        ids = waiting.ids
        longest = max(
            (
                common_prefix(writing.ids, ids)
                for writing in self._active
                if writing.n_pending >= WORTH_WAITING
            ),
            default=0,
        )
        cached = self._pool.shared(ids, waiting.compressed)
        return longest >= WORTH_WAITING and longest >= cached + WORTH_WAITING

    def _leave(self, writing: Writing) -> None:
        """Give the session of an answer that ended back; what it holds stays cached."""
        if writing in self._active:
            self._active.remove(writing)
            if writing.session is not None:
                self._pool.give_back(writing.session)

    def _fail(self, writing: Writing, error: BaseException) -> None:
        writing.fail(error)
        self._leave(writing)

    # A batch

    def _step(self, shared: SharedContext) -> None:
        """Give every answer in a context a token, and some prompts a slice of their prefill."""
        here = [writing for writing in self._active if _stands_in(writing, shared)]
        n_prefill = shared.context.n_batch  # nobody waits for a token: as fast as it goes
        # Also those in other contexts wait, for the contexts take turns.
        if not all(writing.n_pending for writing in self._active):
            n_prefill = self._decoder.slice_tokens(n_prefill)
        for writings in self._decoder.batches(here):
            self._batch(shared, writings, n_prefill)

    def _batch(self, shared: SharedContext, writings: Sequence[Writing], n_prefill: int) -> None:
        pieces: list[Piece] = []
        try:
            pieces = self._pieces(shared, writings, n_prefill)
            if pieces:
                pieces = self._decoder.decode(shared.context, pieces)
        except CacheFullError as error:
            # Where there are no pieces, a window found no place for the whole of its text.
            n_tokens = sum(len(ids) for _, ids in pieces) or shared.context.n_ctx
            # Nothing was appended, so the same pieces come again. At once: whoever makes way now
            # would take its cells again before the next round.
            if self._make_cells(shared, n_tokens, error):
                self._batch(shared, writings, n_prefill)
            return
        except BackendError as error:
            for writing, _ in pieces:
                self._fail(writing, error)
            return
        ended = []
        # Readers have the time of the next batch for what they are told.
        with WakingTogether():
            for writing, ids in pieces:
                try:
                    writing.took(len(ids))
                    if writing.has_ended:
                        self._leave(writing)
                        writing.end()
                        ended.append(writing)
                except BaseException as error:  # whatever it is, it is this answer's, and ends here
                    self._fail(writing, error)
        for writing in ended:
            try:
                # Behind the results, for this may write a file, and no reader need wait.
                self._pool.keep(writing.pause())
            except BaseException as error:
                self._fail(writing, error)

    def _pieces(
        self, shared: SharedContext, writings: Sequence[Writing], n_prefill: int
    ) -> list[Piece]:
        """The next batch: a token of each answer, then as much of the prompts as it takes."""
        # The batch before this one may have ended or moved some.
        here = [w for w in writings if w in self._active and _stands_in(w, shared)]
        decoding = [writing for writing in here if not writing.n_pending]
        prefilling = [w for w in here if w.n_pending and not self._seating.waits(w)]
        # A draft's rows are work done on suspicion: none while a prompt or another context waits.
        is_free = not any(w.n_pending or not _stands_in(w, shared) for w in self._active)
        draft = self._decoder.draft_length(shared.context, decoding) if is_free else 0
        pieces = [piece for w in decoding if (piece := self._piece(w, 1 + draft, shared))]
        room = shared.context.n_batch - sum(len(ids) for _, ids in pieces)
        pending = [writing.n_pending for writing in prefilling]
        limits = self._decoder.shares(pending, n_prefill, room)
        for writing, limit in zip(prefilling, limits, strict=True):
            if limit and (piece := self._piece(writing, limit, shared)):
                pieces.append(piece)
        # One whose window grew may have had others wait, for its memory.
        return [piece for piece in pieces if piece[0].session is not None]

    def _piece(self, writing: Writing, limit: int, shared: SharedContext) -> Piece | None:
        """What one answer gets of a batch; None where its window moved elsewhere for it, or it
        waits for memory.

        Raises:
            CacheFullError: others have the cells that its window takes now.
        """
        session = writing.session
        if session is None:  # it has just made way for one before it
            return None
        try:
            limit = session.admit(limit)
            if (n_pending := writing.n_pending) and session.window.comes_alone(n_pending, limit):
                limit = n_pending - 1
        except MemoryTakenError:
            self._make_memory(writing)
            # At once: who made way would have the memory again before the next round.
            return self._piece(writing, limit, shared)
        except CacheFullError:
            raise
        except Exception as error:
            self._fail(writing, error)
            return None
        return (writing, writing.next_ids(limit)) if session.shared_context is shared else None

    def _make_cells(self, shared: SharedContext, n_tokens: int, error: CacheFullError) -> bool:
        """No cell is free: the answer that began last moves, or an idle session goes, or that
        answer waits again; whether it made way for others."""
        here = [writing for writing in self._active if _stands_in(writing, shared)]
        # By age, which never changes: the oldest always goes on, and no two can push each other
        # out again and again.
        youngest = max(here, key=lambda w: w.asked)
        session = youngest.session
        assert session is not None  # it is active
        if shared.is_common and self._pool.free_cells(session, n_tokens):
            return False
        n_others = len(here) - 1
        # One that stands apart is to go where all others are.
        if not shared.is_common or self._seating.is_apart(session):
            n_others = len(self._active) - 1
        if not n_others:  # nobody could ever make way for it
            self._fail(youngest, error)
            return False
        logger.info(
            "an answer of %d tokens waits: %d others have the cells of the KV cache",
            len(youngest.ids), n_others,
        )  # fmt: skip
        self._suspend(youngest)
        return True

    def _make_memory(self, growing: Writing) -> None:
        """Others have the memory that a window takes now: of those who hold some of it, and the one
        that grows, the one that began last waits again."""
        rivals = [
            w
            for w in self._active
            if w is growing or (w.session is not None and self._pool.memory.holds(w.session))
        ]
        youngest = max(rivals, key=lambda w: w.asked)
        logger.info(
            "an answer of %d tokens waits: windows of others have the memory", len(youngest.ids)
        )
        self._suspend(youngest)

    def _suspend(self, writing: Writing) -> None:
        # Its cells go, what it has written stays: begin() will prefill that with the prompt. It
        # had begun, so it is the first of those who wait.
        self._active.remove(writing)
        self._pool.drop(writing.pause())
        self._waiting.appendleft(writing)


def _stands_in(writing: Writing, shared: SharedContext) -> bool:
    session = writing.session
    return session is not None and session.is_open and session.shared_context is shared
