"""Many texts over one model: what they share, and who gets the next batch. It knows ids only."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx._native import Buffer, CacheFullError, Model
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session, snapshot_key
from longctx.cache.cells import Ids
from longctx.cache.shared import OwnContexts
from longctx.engine.common import CommonContexts
from longctx.engine.compose import Composer
from longctx.engine.kv_streams import KVStreams
from longctx.engine.passages import Passages
from longctx.engine.pool import SessionPool
from longctx.engine.scheduler import Scheduler
from longctx.engine.store import SnapshotStore
from longctx.engine.writing import Writing
from longctx.errors import BackendError
from longctx.files import cache_folder
from longctx.grammar import TokenTable
from longctx.model_info import ModelInfo
from longctx.model_thread import ModelThread
from longctx.planner import ContextPlan, compression_obstacle, estimate_memory
from longctx.prompt import CompressedSpan
from longctx.types import Composed, ProgressCallback

logger = logging.getLogger("longctx")

HAND_OUTPUTS = 16, 128
"""Rows of logits of a session by hand, at least (what forks need anyway) and at most: below 64
tokens a batch llama.cpp is half as fast."""
HAND_LOGITS_BYTES = 16 * 2**20
"""For those rows; llama.cpp holds them twice while it scores."""


class Engine:
    """The weights, the sessions and the answers of one model; all of it in its thread.

    Args:
        info: what the file says about itself.
        plan: the windows, and the memory for all of them.
        encode: text to token ids, for sessions by hand.
        n_threads: None measures what the machine bears.
        cache_dir: folder for sessions between runs; None keeps none.
        checkpoint: called before each batch of a call; it may raise to end it.

    Raises:
        ModelFileError: llama.cpp cannot load the file.
        BackendError: the thread count is not positive.
    """

    def __init__(
        self,
        info: ModelInfo,
        plan: ContextPlan,
        *,
        n_threads: int | None = None,
        cache_dir: str | Path | None = None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self._info = info
        self._plan = plan
        self._backend = LlamaCppBackend(info, plan, n_threads=n_threads, checkpoint=checkpoint)
        self._rotator = KeyRotator(self._backend)
        self._common = CommonContexts(self._backend)
        spare_bytes = plan.memory.spare_bytes
        far = plan.self_extend
        store = None
        if cache_dir is not None:
            store = SnapshotStore(
                cache_folder("sessions", cache_dir), snapshot_key(self._backend),
                n_ctx=plan.n_ctx, takes_compressed=plan.compresses,
            )  # fmt: skip
        self._composer = Composer(
            self._open_beside,
            Passages(spare_bytes // 4, store),
            max_tokens=far.start if far else plan.first_window,
        )
        self._pool = SessionPool(
            self._new_session,
            self._common,
            cost_bytes=functools.cache(self._context_bytes),  # asked in every round
            limit_bytes=spare_bytes,
            store=store,
            besides_bytes=lambda: self._composer.passages.n_bytes + self._streams.n_bytes,
            free_besides=lambda: self._streams.close_empty(),
        )
        self._streams = KVStreams(self._backend, self._common, self._pool.memory)
        self._tokens = TokenTable(self._backend.model)
        self._scheduler = Scheduler(
            self._backend, self._backend.model, self._tokens, self._pool, self._streams
        )

    @property
    def plan(self) -> ContextPlan:
        """The plan, with what the backend warns of."""
        return self._backend.plan

    @property
    def model(self) -> Model:
        """The loaded model, for its vocabulary."""
        return self._backend.model

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """What llama.cpp said that it allocated: for the weights, and for the largest context."""
        return self._backend.buffers

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The texts that are cached, most recently used last."""
        return self._pool.sessions

    @property
    def n_answers(self) -> int:
        """Answers that are waiting or under way."""
        return len(self._scheduler)

    @property
    def composer(self) -> Composer:
        """The passages that are cached alone."""
        return self._composer

    @property
    def compression_obstacle(self) -> str | None:
        """Why no text of this model can be compressed; None if it can."""
        return compression_obstacle(self._info, self._plan.kv_type_k)

    # Answers

    def add(self, writing: Writing) -> None:
        """Let an answer begin when there is room for it."""
        self._scheduler.add(writing)

    def round(self) -> bool:
        """Do a batch of all answers; whether there is more to do."""
        return self._scheduler.round()

    def warm_up(self) -> None:
        """Open the cache that texts begin in, and decode a token: weights are read from the disk
        as they are needed. What fails is logged."""
        try:
            session = self._open_beside()
            try:
                session.feed([self.model.bos or 0])
            finally:
                session.close()
        except BackendError:
            logger.warning("the model is not warm", exc_info=True)

    def end(self, error: Exception) -> None:
        """Tell all who wait that there is no more, and free everything; nothing is saved."""
        self._scheduler.end(error)
        self._free(save=False)

    def close(self) -> None:
        """End all answers and free everything, after long conversations were saved."""
        self._scheduler.end(BackendError("the model was closed while it answered"))
        self._free(save=True)

    def _free(self, *, save: bool) -> None:
        # Sessions before the contexts that they stand in, and contexts before the weights.
        self._pool.close(save=save)
        self._common.close()
        self._streams.close()
        self._tokens.close()
        self._backend.close()

    # Texts by hand

    def open_session(
        self, encode: Callable[[str, bool], list[int]], thread: ModelThread, n_outputs: int | None
    ) -> Session:
        """Open a session that its user closes.

        Args:
            encode: text to token ids; a first text gets the model's BOS.
            thread: where its methods run.
            n_outputs: tokens of a batch whose logits can be read at once; None is as many as
                :data:`HAND_LOGITS_BYTES` hold.
        """
        if n_outputs is None:
            fewest, most = HAND_OUTPUTS
            n_outputs = max(fewest, min(most, HAND_LOGITS_BYTES // (4 * self.model.n_vocab)))
        self._pool.make_room(self._plan.first_window)
        session = Session(
            self._backend,
            self._rotator,
            encode,
            thread=thread,
            owner=self._pool,
            contexts=OwnContexts(self._backend, n_outputs),
        )
        self._pool.lend(session)
        return session

    def score(
        self, ids: Ids, *, batch: int, on_progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """Negative log-likelihood of each token but the first: float32[n-1], nats."""
        # In a context of its own: a common one has a row of logits a sequence, not a batch of them.
        self._pool.make_room(self._plan.first_window)
        session = Session(
            self._backend,
            self._rotator,
            _no_text,
            owner=self._pool,
            contexts=OwnContexts(self._backend, min(batch, 512)),
        )
        self._pool.add(session)
        return session.nll(ids, on_progress=on_progress)

    def compose(
        self,
        ids: Ids,
        passages: Sequence[Ids],
        *,
        recompute: int,
        compressed: Sequence[CompressedSpan] = (),
        on_progress: ProgressCallback | None = None,
    ) -> Composed:
        """Bring the cache to where all passages of a prompt are in it."""
        picked: list[Session] = []

        def pick() -> Session:
            session = self._pool.pick(ids, compressed=compressed, must=True)
            assert session is not None  # it must
            picked.append(session)
            return session

        try:
            return self._composer.compose(
                ids,
                passages,
                pick,
                n_cached=self._pool.shared(ids, compressed),
                recompute=recompute,
                compressed=compressed,
                on_progress=on_progress,
            )
        except CacheFullError:
            # Answers have the cells. Nobody can wait for them here, in the thread that writes the
            # answers: the prompt is prefilled when its own answer finds room, and nothing of it was
            # attached until then.
            for session in picked:
                session.truncate(0)
            return Composed(prefilled_tokens=0, attached_tokens=0)
        finally:
            for session in picked:
                self._pool.give_back(session)

    def save_text(self, ids: Ids, path: Path) -> int:
        """Write the session that has most of a text; how many of its tokens it holds."""
        session = self._pool.holding(ids)
        if session is None:
            return 0
        session.save(path)
        return session.shared(ids)

    def load_text(self, path: Path) -> list[int]:
        """Take a saved session into the pool; its whole text."""
        session = self._open_beside()
        try:
            session.load(path, takes_compressed=self._plan.compresses)
        except BaseException:
            session.close()
            raise
        self._pool.add(session)
        return session.text_ids

    def _new_session(self) -> Session:
        return Session(
            self._backend, self._rotator, _no_text, owner=self._pool, contexts=self._common
        )

    def _open_beside(self) -> Session:
        """An empty session that no prompt is answered in."""
        if not self._common.is_for_all:
            self._pool.make_room(self._plan.first_window)
        self._pool.make_place(0)
        return self._new_session()

    def _context_bytes(self, n_ctx: int) -> int:
        plan = self._plan
        memory = estimate_memory(
            self._info,
            n_ctx,
            kv_type=plan.kv_type_k,
            adapters=plan.adapters,
            options=plan.devices,
            placement=plan.placement,
        )
        return memory.text_bytes


def _no_text(_text: str, _at_start: bool) -> list[int]:
    raise BackendError("the engine takes token ids; text is the façade's")
