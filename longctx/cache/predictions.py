"""What a cached text predicts: logits, the tokens drawn from them, and likelihoods."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from longctx._native import Sampler
from longctx.backends import Backend
from longctx.cache.cells import Ids
from longctx.cache.compress import NO_TOKEN
from longctx.cache.likelihood import negative_log_likelihood
from longctx.cache.window import Window
from longctx.errors import BackendError, ContextOverflowError
from longctx.types import ProgressCallback


class Predictions:
    """Reads the logits behind a text.

    A context has the logits of its last batch, and that may have been another sequence's, or of
    tokens that are gone. Whoever reads calls :meth:`refresh` before.

    Args:
        backend: the threads of decode.
        window: the text.
    """

    def __init__(self, backend: Backend, window: Window) -> None:
        self._backend = backend
        self._window = window
        self._cells = window.cells

    def refresh(self) -> None:
        """Let the logits in the context be those of the last token.

        Where they are another's, the last token is decoded again: its keys come out as they were,
        and a copy of the logits for each sequence would be a row of the vocabulary for each.

        Raises:
            BackendError: the text is empty.
            ContextOverflowError: it ends in composite cells and must be read again, which it does
                not fit the largest window for; nothing changed.
        """
        if not self._cells.tokens:
            raise BackendError("the session is empty; feed() it some text first")
        self.end_whole()
        if self._cells.has_logits:
            return
        last = self._cells.tokens[-1]
        self._window.go_back(self._window.n_tokens - 1)
        self._window.append(last)

    def end_whole(self) -> None:
        """Where the text ends in composite cells, read it again.

        No token stands there that could be decoded once more, for what follows it.

        Raises:
            ContextOverflowError: it is longer than the largest window, which makes no room by
                itself; nothing changed.
        """
        window = self._window
        if not window.n_tokens or self._cells.tokens[-1] != NO_TOKEN:
            return
        text = window.text_ids
        if len(text) > window.largest and not window.is_endless:
            raise ContextOverflowError(
                f"the text was cut where its compressed part ends: to predict what follows, its "
                f"{len(text)} tokens must be read again, and do not fit the window of "
                f"{window.largest}; feed() one token at least first",
                needed=len(text),
                available=window.largest,
                n_ctx=self._cells.n_ctx,
            )
        window.read_again(text)

    def sample(
        self, sampler: Sampler, *, back: int = 0, mask: NDArray[np.uint32] | None = None
    ) -> int:
        """Draw the token that follows, or that followed ``back`` tokens before."""
        self.refresh()
        return self._cells.sample(sampler, back=back, mask=mask)

    def logits(self, *, back: int = 0) -> NDArray[np.float32]:
        """float32[1, n_vocab] of the token that follows: a view, gone with the next batch."""
        self.refresh()
        return self._cells.logits(back=back)

    def advance(self, token: int) -> None:
        """Append one token that was drawn, with the threads of decode."""
        self._window.expect(self._window.n_tokens + 1)
        threads = self._backend.decode_threads
        if threads is None:
            self._window.append(token)
            return
        # A single token is bound by memory, a prefill by arithmetic: other counts are best.
        self._cells.set_threads(threads.current())
        started = time.monotonic()
        try:
            self._window.append(token)
            self._cells.wait()  # a GPU still works when it was sent
        finally:
            threads.record(time.monotonic() - started)
            self._cells.set_threads(self._backend.n_threads)

    def greedy(self, n_tokens: int) -> list[int]:
        """The most likely tokens that follow; the text stays as it is."""
        self.end_whole()
        n, ids = self._window.n_tokens, list[int]()
        # A window that makes room for them could not go back to what it gave up.
        self._window.check_fits(n + n_tokens - 1)
        try:
            while len(ids) < n_tokens:
                if ids:
                    self.advance(ids[-1])
                ids.append(int(np.argmax(self.logits()[0])))
        finally:
            self._window.go_back(n)
        return ids

    def nll(self, ids: Ids, on_progress: ProgressCallback | None = None) -> NDArray[np.float32]:
        """Append tokens and score them, in nats: float32[n], or [n-1] of an empty text."""
        if len(ids):
            self.end_whole()
        self._window.expect(self._window.n_tokens + len(ids), on_progress)
        scores: list[NDArray[np.float32]] = []
        if self._cells.tokens and len(ids):
            self.refresh()
            scores.append(negative_log_likelihood(self._cells.logits(), ids[:1]))
        batches = self._window.batches(ids, scored=self._cells.n_outputs, on_progress=on_progress)
        for begin, end in batches:
            # Row i predicts token i + 1; the last row of all predicts what nobody has given.
            rows = self._cells.logits(end - begin)
            scores.append(negative_log_likelihood(rows, ids[begin + 1 : end + 1]))
        return np.concatenate(scores) if scores else np.empty(0, np.float32)
