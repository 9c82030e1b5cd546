"""A session: one text in one KV cache, as its user sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longctx._native import Sampler
from longctx.arguments import path as checked_path
from longctx.arguments import token_ids, whole
from longctx.backends import Backend
from longctx.cache.by_hand import compress_by_hand
from longctx.cache.cells import Cells, Ids
from longctx.cache.compress import METHOD
from longctx.cache.passage import Passage, attach, passage_of
from longctx.cache.predictions import Predictions
from longctx.cache.prefix import shared_prefix
from longctx.cache.rearranger import Rearranger
from longctx.cache.rotation import KeyRotator
from longctx.cache.saving import load_text, save_text
from longctx.cache.shared import Contexts, OwnContexts, SharedContext
from longctx.cache.window import Window, WindowOwner
from longctx.cache.windowed import Windowed
from longctx.closing import Closing
from longctx.errors import BackendError, RequestError
from longctx.model_thread import ModelThread, in_model_thread
from longctx.prompt import CompressedSpan
from longctx.types import ProgressCallback


class SessionOwner(WindowOwner, Protocol):
    """Who answers for the memory of sessions, and frees them with the model."""

    def lend(self, session: Session) -> None:
        """Called with each fork."""


class Session(Windowed, Closing):
    """One text in one KV cache.

    An elastic window begins at the trained one and moves to the next of the plan's steps when
    the text needs it; the cached keys are re-rotated, and nothing is prefilled again. With
    Self-Extend the oldest keys move closer together instead. A window that slides drops the
    tokens behind its first ``n_keep``, the attention sinks, when it is full (StreamingLLM, Xiao
    et al. 2024, section 3.2). After any exception, Ctrl-C included, the session holds the
    tokens it says it holds. It may be used from several threads: all calls run in the model's.

    Args:
        backend: where contexts come from.
        rotator: re-rotates cached keys.
        encode: text to token ids, for :meth:`feed`; a first text gets the model's BOS.
        thread: where each call runs; None where the caller is in it already.
        owner: told of growth and forks.
        contexts: where the text finds its cache; None gives it one of its own.
        cells: the cache of a fork; None takes one from ``contexts``.
    """

    def __init__(
        self,
        backend: Backend,
        rotator: KeyRotator,
        encode: Callable[[str, bool], list[int]],
        *,
        thread: ModelThread | None = None,
        owner: SessionOwner | None = None,
        contexts: Contexts | None = None,
        cells: Cells | None = None,
    ) -> None:
        plan, first = backend.plan, backend.plan.first_window
        cells = cells or Cells(
            backend,
            OwnContexts(backend, 1) if contexts is None else contexts,
            n_ctx=first,
            rope=plan.rope_at(first),
        )
        self._rearranger = Rearranger(cells, rotator)
        window = Window(backend, cells, self._rearranger, owner)
        super().__init__(window, backend.info.n_ctx_train, thread)
        self._backend = backend
        self._rotator = rotator
        self._encode = encode
        self._owner = owner
        self._predictions = Predictions(backend, self._window)

    # Text in

    @in_model_thread
    def begin(self) -> None:
        """Put the token that begins a text (BOS) into an empty session, where the model wants one.

        A text that is fed first gets it by itself; token ids stand as they are given.

        Raises:
            BackendError: the session holds text already.
        """
        if self.n_tokens:
            raise BackendError(
                f"the session holds {self.n_tokens} tokens already, so nothing can begin it; "
                "truncate(0) first"
            )
        self.feed("")

    @in_model_thread
    def feed(self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None) -> None:
        """Append tokens; only they are prefilled. The window grows first if it must.

        Raises:
            ContextOverflowError: they do not fit the largest window; nothing was fed.
            RequestError: they are neither a text nor token ids of the model.
        """
        ids = self._as_ids(text_or_ids)
        self._window.expect(self.n_tokens + len(ids), on_progress)
        self._window.feed(ids, on_progress)

    @in_model_thread
    def nll(
        self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """Append tokens as :meth:`feed` does, and score them.

        Returns:
            float32[n], the negative log-likelihood of each token in nats, given all before
            it; float32[n-1] on an empty session, where nothing predicts the first.
        """
        return self._predictions.nll(self._as_ids(text_or_ids), on_progress)

    @in_model_thread
    def next_nll(self, ids: Ids) -> NDArray[np.float32]:
        """Score a continuation without keeping it: float32[len(ids)], nats.

        Raises:
            BackendError: the session is empty, so nothing predicts the first token.
            RequestError: they are no token ids of the model.
            ContextOverflowError: a full window would have to slide for it, which keeps nothing.
        """
        if not self.n_tokens:
            raise BackendError("next_nll needs some text before the continuation; feed() it first")
        ids = self._as_ids(ids)
        self._predictions.end_whole()  # or there would be other cells to go back to
        n = self.n_tokens
        self._window.check_fits(n + len(ids))
        try:
            return self._predictions.nll(ids)
        finally:
            self._window.go_back(n)

    def shared(
        self,
        ids: Ids,
        compressed: Sequence[CompressedSpan] | None = None,
        *,
        whole: bool = False,
    ) -> int:
        """Length of the prefix of ``ids`` that need not be prefilled; nothing changes.

        ``compressed`` and ``whole`` as in :meth:`match`.
        """
        return shared_prefix(self._window, ids, compressed, whole=whole)

    @in_model_thread
    def match(
        self,
        ids: Ids,
        compressed: Sequence[CompressedSpan] | None = None,
        *,
        whole: bool = False,
    ) -> int:
        """Keep the longest common prefix with ``ids`` and drop the rest; return its length.

        Tokens that slid out of the window, or do not stand whole, count as long as they are the
        same.

        Args:
            ids: a text.
            compressed: the passages of it that shall stand compressed, and no others; None takes
                what is here as it stands.
            whole: do not count tokens that slid out, where ``ids`` fit the largest window without
                sliding.

        Raises:
            RequestError: they are no token ids of the model; nothing was dropped.
        """
        ids = self._as_ids(ids)
        middle, shared = self._window.middle, self.shared(ids, compressed, whole=whole)
        if shared > self.n_keep:
            self._window.go_back(shared - middle.n_missing)
        else:
            self._window.truncate(shared)
        return self.n_tokens + middle.n_missing

    # Text out

    @in_model_thread
    def sample(
        self, sampler: Sampler, *, back: int = 0, mask: NDArray[np.uint32] | None = None
    ) -> int:
        """Draw the token that follows, without appending it.

        With ``back``, the one that follows so many tokens before the last: of those that the
        last :meth:`decode_beside` kept the logits of. With ``mask``, one whose bit is set.
        """
        return self._predictions.sample(sampler, back=back, mask=mask)

    @in_model_thread
    def next_logits(self, *, back: int = 0) -> NDArray[np.float32]:
        """float32[1, n_vocab], what predicts the token that follows: a view, gone with the next
        batch. ``back`` as in :meth:`sample`."""
        return self._predictions.logits(back=back)

    @in_model_thread
    def greedy(self, n_tokens: int) -> list[int]:
        """The most likely ``n_tokens`` that follow, one after the other; nothing is kept of them.

        To go on behind them, :meth:`feed` them.

        Raises:
            RequestError: ``n_tokens`` is no whole number from 0.
            BackendError: the session is empty, so nothing predicts the first token.
            ContextOverflowError: they do not fit the largest window.
        """
        return self._predictions.greedy(whole("n_tokens", n_tokens, least=0))

    @in_model_thread
    def advance(self, token: int) -> None:
        """Append one generated token."""
        (token,) = self._as_ids([token])
        self._predictions.advance(token)

    @staticmethod
    def decode_beside(pieces: Sequence[tuple[Session, Ids, int]]) -> None:
        """Append tokens to each of several sessions in one cache, in one batch.

        Their windows have admitted them (:meth:`admit`); the logits of the last tokens of each,
        as many as the number beside them says, can be read afterwards.

        Raises:
            CacheFullError: the cache has too few free cells; nothing was appended.
        """
        Cells.decode_beside([(session.window.cells, ids, n) for session, ids, n in pieces])

    # Its cells

    @in_model_thread
    def compress(
        self, keep: float = 0.75, *, protect: Sequence[tuple[int, int]] = (), method: str = METHOD
    ) -> None:
        """Keep a share of the cached text: each layer and head the tokens that matter most to it.

        The attention sinks stay whole, and of what is left the latest quarter, 256 tokens at most.
        It moves closer together, the keys re-rotated, so that there is room again. Compressed once
        more, what was compressed gets thinner. docs/compression.md has what it costs.

        Args:
            keep: share of the cells that are left; more, where so many are kept whole.
            protect: spans of tokens of the text, (begin, end), that every head keeps whole, this
                time and later.
            method: ``keydiff``, or a baseline to measure it by: ``latest``, ``evenly``.

        Raises:
            UnsupportedModelError: the model keeps something else than keys that can be moved.
            RequestError: the share is not above 0 and at most 1, a span is none or is compressed
                already, or the method is unknown.
        """
        compress_by_hand(self._window, self._rearranger, self._backend, keep, protect, method)

    @in_model_thread
    def move(self, shared: SharedContext) -> None:
        """Stand in another context of the same RoPE, where there is more room.

        Raises:
            BackendError: there is too little of it, too; everything is as it was.
        """
        self._cells.move(shared.lease())

    # Copies

    @in_model_thread
    def fork(self) -> Session:
        """Copy the session; the two share the cached prefix until they differ.

        Up to 16 share one cache, and its cells; one that must grow, compress or slide, or finds
        no free cell, moves into a cache of its own.
        """
        twin = Session(
            self._backend, self._rotator, self._encode,
            thread=self.thread, owner=self._owner, cells=self._cells.fork(),
        )  # fmt: skip
        twin.window.take_over(self._window)
        if self._owner is not None:
            self._owner.lend(twin)
        return twin

    @in_model_thread
    def passage(self) -> Passage:
        """Copy the text with its keys and values, compressed if it is, to be attached elsewhere.

        Raises:
            BackendError: the session has slid, or blocks of Self-Extend share positions.
        """
        return passage_of(self._window)

    @in_model_thread
    def attach(self, other: Session | Passage, *, recompute: int = 0) -> None:
        """Append another session's text with its cached keys and values, without a prefill.

        Its tokens never saw what stands here (PromptCache, Gim et al. 2024, section 3), so the
        result is not what a prefill of both would give; docs/rag.md has what it costs. The keys
        are re-rotated to their new positions. Models whose keys cannot be moved prefill the text.

        Args:
            other: a session of the same model that was fed one text, from its own beginning, or
                the copy that its :meth:`passage` made.
            recompute: tokens at its front to prefill in place (EPIC, Hu et al. 2025); of a text
                that was compressed at most those that stand whole there.

        Raises:
            ContextOverflowError: both do not fit the largest window; nothing changed.
            BackendError: ``other`` has slid.
            UnsupportedModelError: ``other`` is compressed, and keys cannot be moved; nothing
                changed.
            RequestError: ``other`` is neither, or ``recompute`` no whole number from 0.
        """
        recompute = whole("recompute", recompute, least=0)
        if not isinstance(other, Session | Passage):
            raise RequestError(f"a session or its passage() is attached, not {other!r:.80}")
        passage = other.passage() if isinstance(other, Session) else other
        attach(self._window, self._rearranger, passage, recompute)

    @in_model_thread
    def save(self, path: str | Path) -> Path:
        """Write the session to a file: all of it or, whatever happens, what was there before.

        Raises:
            RequestError: there is a folder, a pipe, a device or a read-only file.
            BackendError: the file cannot be written.
        """
        return save_text(checked_path("path", path), self._backend, self._window)

    @in_model_thread
    def load(self, path: str | Path, *, takes_compressed: bool = True) -> None:
        """Put a saved session in place of what is here, at whatever scale it was saved.

        Args:
            path: where :meth:`save` wrote it.
            takes_compressed: whether it may have been compressed.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, is
                compressed where that is not taken, or is damaged; the session is as it was, or
                empty where its keys cannot be re-rotated.
            ContextOverflowError: it does not fit the largest window.
        """
        load_text(
            checked_path("path", path), self._backend, self._window, self._rearranger,
            takes_compressed=takes_compressed,
        )  # fmt: skip

    def close(self) -> None:
        """Free the cache. Idempotent."""
        if self.is_open:
            self._close()

    @property
    def release(self) -> Callable[[], None]:
        """What frees the cache, without a reference to the session that has it."""
        return self._cells.close

    @in_model_thread
    def _close(self) -> None:
        self._cells.close()
        self._window.clear()

    # Inside

    def _as_ids(self, text_or_ids: str | Ids) -> Ids:
        if isinstance(text_or_ids, str):
            return self._encode(text_or_ids, not self.n_tokens)
        return token_ids(text_or_ids, self._backend.info.n_vocab)
