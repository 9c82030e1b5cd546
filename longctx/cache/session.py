"""A session: the tokens that stand in one KV cache, and the window that they stand in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native import Sampler
from longctx.backends import Backend, KVContext
from longctx.cache.likelihood import negative_log_likelihood
from longctx.cache.turning import KeyTurner
from longctx.errors import BackendError, ContextOverflowError
from longctx.planner import window_steps
from longctx.rope import Groups, RopeConfig
from longctx.types import Progress, ProgressCallback

Ids = Sequence[int] | NDArray[np.int32]


class Session:
    """One text in one KV cache.

    An elastic window begins at the trained one and moves to the next of the plan's steps when
    the text needs it; the cached keys are turned along, and nothing is prefilled again. With
    Self-Extend the oldest keys move closer together instead. After any exception, Ctrl-C
    included, the session holds the tokens it says it holds.

    Args:
        backend: where contexts come from.
        turner: turns cached keys.
        encode: text to token ids, for :meth:`feed`; a first text gets the model's BOS.
        elastic: whether the window starts small and grows; else it is the plan's at once.
        n_outputs: tokens of a batch whose logits can be read at once.
    """

    def __init__(
        self,
        backend: Backend,
        turner: KeyTurner,
        encode: Callable[[str, bool], list[int]],
        *,
        elastic: bool,
        n_outputs: int = 16,
    ) -> None:
        self._backend = backend
        self._turner = turner
        self._encode = encode
        self._n_outputs = n_outputs
        self._steps = window_steps(backend.plan) if elastic else (backend.plan.n_ctx,)
        self._self_extend = backend.plan.self_extend
        self._groups: Groups = ()
        self._tokens: list[int] = []
        self._positions = np.empty(0, dtype=np.int32)
        self._logits_ready = False
        self.rescale_s = 0.0
        self.prefilled_again = 0
        self.fallback: str | None = None
        self._rope = backend.plan.rope_at(self._steps[0]) if elastic else backend.plan.rope
        self._context: KVContext | None = backend.open(
            self._steps[0], self._rope, n_outputs=n_outputs
        )

    # Where it stands

    @property
    def tokens(self) -> tuple[int, ...]:
        """The token ids in the cache, in order."""
        return tuple(self._tokens)

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self._tokens)

    @property
    def n_ctx(self) -> int:
        """The window in tokens."""
        return self._live.n_ctx

    @property
    def rope(self) -> RopeConfig:
        """The positional encoding of the window."""
        return self._rope

    @property
    def positions(self) -> NDArray[np.int32]:
        """int32[n_tokens]: where each token stands."""
        return self._positions.copy()

    @property
    def method(self) -> str:
        """What stretches the window just now: the method, or none."""
        return "self-extend" if self._groups else self._rope.method

    @property
    def scale(self) -> float:
        """s of the window just now; with Self-Extend, tokens over the trained window."""
        if self._groups:
            return max(1.0, self.n_ctx / self._backend.info.n_ctx_train)
        return self._rope.scale

    @property
    def _live(self) -> KVContext:
        if self._context is None:
            raise BackendError("this session is closed")
        return self._context

    # Text in

    def feed(self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None) -> None:
        """Append tokens; only they are prefilled. The window grows first if it must.

        Raises:
            ContextOverflowError: they do not fit the largest window; nothing was fed.
        """
        ids = self._as_ids(text_or_ids)
        self.reserve(len(self._tokens) + len(ids), on_progress=on_progress)
        self._feed(ids, on_progress)

    def nll(
        self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """Append tokens as :meth:`feed` does, and score them.

        Returns:
            float32[n], the negative log-likelihood of each token in nats, given all before
            it; float32[n-1] on an empty session, where nothing predicts the first.
        """
        ids = self._as_ids(text_or_ids)
        self.reserve(len(self._tokens) + len(ids), on_progress=on_progress)
        scores: list[NDArray[np.float32]] = []
        if self._tokens and len(ids):
            self._refresh_logits()
            scores.append(negative_log_likelihood(self._live.logits(1), ids[:1]))
        n = len(ids)
        step = min(self._n_outputs, self._batch)
        started = time.monotonic()
        for begin in range(0, n, step):
            piece = ids[begin : begin + step]
            self._decode(piece, "all")
            rows = self._live.logits(len(piece)) if len(piece) > 1 else self._live.logits(1)
            scores.append(negative_log_likelihood(rows, ids[begin + 1 : begin + 1 + len(piece)]))
            _report(on_progress, begin + len(piece), n, started)
        return np.concatenate(scores) if scores else np.empty(0, np.float32)

    def next_nll(self, ids: Ids) -> NDArray[np.float32]:
        """Score a continuation without keeping it: float32[len(ids)], nats.

        Raises:
            BackendError: the session is empty, so nothing predicts the first token.
        """
        if not self._tokens:
            raise BackendError("next_nll needs some text before the continuation; feed() it first")
        n = len(self._tokens)
        try:
            return self.nll(ids)
        finally:
            self.truncate(n)

    def match(self, ids: Ids) -> int:
        """Keep the longest common prefix with ``ids`` and drop the rest; return its length."""
        held = np.asarray(self._tokens[: len(ids)], dtype=np.int64)
        wanted = np.asarray(ids[: len(held)], dtype=np.int64)
        differs = np.flatnonzero(held != wanted)
        self.truncate(int(differs[0]) if differs.size else len(held))
        return len(self._tokens)

    # Text out

    def sample(self, sampler: Sampler) -> int:
        """Draw the token that follows, without appending it."""
        self._refresh_logits()
        return sampler.sample(self._live)

    def advance(self, token: int) -> None:
        """Append one generated token."""
        self.reserve(len(self._tokens) + 1)
        threads = self._backend.decode_threads
        if threads is None:
            self._decode([token], "last")
            return
        self._live.set_threads(threads.current())
        started = time.monotonic()
        try:
            self._decode([token], "last")
        finally:
            threads.record(time.monotonic() - started)
            self._live.set_threads(self._backend.n_threads)

    # The window

    def reserve(self, n_tokens: int, *, on_progress: ProgressCallback | None = None) -> int | None:
        """Make room for ``n_tokens`` in all; return the old window if it had to grow.

        Raises:
            ContextOverflowError: the largest window is smaller.
        """
        if n_tokens <= self.n_ctx:
            return None
        largest = self._steps[-1]
        if n_tokens > largest:
            raise ContextOverflowError(
                f"{n_tokens} tokens do not fit the window of {largest}: "
                f"{n_tokens - largest} too many; shorten the text or plan a larger target_ctx",
                needed=n_tokens,
                available=largest,
                n_ctx=largest,
            )
        before = self.n_ctx
        self._resize(self._step_for(n_tokens), on_progress)
        return before

    def grow(self, n_ctx: int) -> None:
        """Move to a window of at least ``n_ctx`` tokens (a step of the plan).

        Raises:
            ContextOverflowError: the plan's target is smaller.
        """
        self.reserve(n_ctx)

    def shrink(self, n_ctx: int) -> None:
        """Move to the smallest window that holds ``n_ctx`` tokens and the text.

        Raises:
            ContextOverflowError: the text is longer than ``n_ctx``.
        """
        if len(self._tokens) > n_ctx:
            raise ContextOverflowError(
                f"the session holds {len(self._tokens)} tokens, more than {n_ctx}; "
                "truncate() first",
                needed=len(self._tokens),
                available=n_ctx,
                n_ctx=self.n_ctx,
            )
        step = self._step_for(n_ctx)
        if step < self.n_ctx:
            self._resize(step, None)

    def truncate(self, n: int) -> None:
        """Keep the first ``n`` tokens.

        Where the cache cannot drop its end alone (recurrent layers, sliding-window layers
        that have forgotten what the new end needs), the kept tokens are prefilled again.
        """
        n = max(0, n)
        if n >= len(self._tokens):
            return
        kept = self._tokens[:n]
        # Compressed tokens share a position, and the cache can only be cut between positions.
        shared = int(np.searchsorted(self._positions, self._positions[n])) if n else 0
        self._logits_ready = False
        if shared and self._live.remove(int(self._positions[n])) and self._reaches_back(n):
            self._keep(shared)
            self._decompress()
        else:
            self._live.clear()
            self._keep(0)
            self.prefilled_again += n
        self._feed(kept[len(self._tokens) :], None)

    def close(self) -> None:
        """Free the cache. Idempotent."""
        if self._context is not None:
            self._context.close()
            self._context = None
            self._keep(0)

    # Inside

    def _as_ids(self, text_or_ids: str | Ids) -> Ids:
        if isinstance(text_or_ids, str):
            return self._encode(text_or_ids, not self._tokens)
        return text_or_ids

    @property
    def _batch(self) -> int:
        """Tokens a batch; with Self-Extend a block must be whole before it is compressed."""
        if self._self_extend is None:
            return self._live.n_batch
        return max(1, min(self._live.n_batch, self._self_extend.block // 2))

    def _step_for(self, n_tokens: int) -> int:
        return next((step for step in self._steps if step >= n_tokens), self._steps[-1])

    def _keep(self, n: int) -> None:
        del self._tokens[n:]
        self._positions = self._positions[:n]
        if n == 0:
            self._groups = ()

    def _feed(self, ids: Ids, on_progress: ProgressCallback | None) -> None:
        started = time.monotonic()
        n, step = len(ids), self._batch
        for begin in range(0, n, step):
            piece = ids[begin : begin + step]
            self._decode(piece, "last" if begin + step >= n else "none")
            _report(on_progress, begin + len(piece), n, started)

    def _decode(self, ids: Ids, outputs: Literal["none", "last", "all"]) -> None:
        if self._self_extend is not None:
            n_tokens = len(self._tokens) + len(ids)
            self._compress(self._self_extend.compressed(n_tokens, self._groups))
        n = len(self._tokens)
        first = int(self._positions[-1]) + 1 if n else 0
        self._logits_ready = False
        try:
            self._live.decode(ids, first, outputs=outputs)
            self._tokens.extend(int(token) for token in ids)
            added = np.arange(first, first + len(ids), dtype=np.int32)
            self._positions = np.concatenate([self._positions, added])
        except BaseException:
            # Ctrl-C may fall between llama.cpp's work and our note of it.
            self._keep(n)
            if self._context is not None:
                self._live.remove(first)
            raise
        self._logits_ready = outputs != "none"

    def _refresh_logits(self) -> None:
        """After a truncate, the logits are another token's: decode the last token again."""
        if self._logits_ready:
            return
        if not self._tokens:
            raise BackendError("the session is empty; feed() it some text first")
        last = self._tokens[-1]
        self.truncate(len(self._tokens) - 1)
        self._decode([last], "last")

    def _reaches_back(self, n: int) -> bool:
        """Whether sliding-window layers still hold what token ``n`` will look at."""
        window = self._backend.info.sliding_window
        first = self._live.first_position()
        return window is None or first <= max(0, n - window)

    def _decompress(self) -> None:
        """Turn blocks back that a shorter text no longer has whole."""
        if self._self_extend is None:
            return
        n = len(self._tokens)
        if n < len(self._groups) * self._self_extend.block:
            self._compress(self._self_extend.compressed(n))

    def _compress(self, groups: Groups) -> None:
        """Let the oldest blocks of Self-Extend have these groups."""
        if groups == self._groups:
            return
        assert self._self_extend is not None
        started = time.monotonic()
        positions = self._self_extend.positions(len(self._tokens), groups)
        if len(positions):
            state = self._live.get_state()
            self._turner.turn(state, self._rope, self._rope, self._positions, positions)
            self._live.set_state(state)
        self._positions, self._groups, self._logits_ready = positions, groups, False
        self.rescale_s += time.monotonic() - started

    def _resize(self, n_ctx: int, on_progress: ProgressCallback | None) -> None:
        started = time.monotonic()
        rope = self._backend.plan.rope_at(n_ctx)
        tokens, positions, groups = self._tokens, self._positions, self._groups
        reason = self._turner.obstacle(self._rope, rope) if tokens else None
        state = self._live.get_state() if tokens and reason is None else None
        old_rope, old_n_ctx = self._rope, self.n_ctx
        # Two caches and a copy between them would be three; the old one goes first.
        self._live.close()
        try:
            self._context = self._backend.open(n_ctx, rope, n_outputs=self._n_outputs)
        except BaseException:
            self._context = self._backend.open(old_n_ctx, old_rope, n_outputs=self._n_outputs)
            if state is None:
                self._keep(0)
            else:
                self._live.set_state(state)
            raise
        self._rope, self._logits_ready = rope, False
        if state is not None:
            self._turner.turn(state, old_rope, rope, positions, positions)
            self._live.set_state(state)
            self._tokens, self._positions, self._groups = tokens, positions, groups
        elif tokens:
            self._tokens, self._positions, self._groups = [], positions[:0], ()
            self.prefilled_again += len(tokens)
            self.fallback = f"the window changed by a second prefill: {reason}"
            self._feed(tokens, on_progress)
        self.rescale_s += time.monotonic() - started


def _report(callback: ProgressCallback | None, done: int, total: int, started: float) -> None:
    if callback is not None:
        callback(
            Progress(done_tokens=done, total_tokens=total, elapsed_s=time.monotonic() - started)
        )
