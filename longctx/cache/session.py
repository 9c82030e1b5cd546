"""A session: a text in a KV cache, and the window that it stands in."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longctx._native import Sampler
from longctx.backends import Backend
from longctx.cache.cells import Cells, Ids, Outputs
from longctx.cache.likelihood import negative_log_likelihood
from longctx.cache.snapshot import Snapshot, read_snapshot, snapshot_key, write_snapshot
from longctx.cache.turning import KeyTurner
from longctx.call_queue import CallQueue, in_turn
from longctx.errors import BackendError, ContextOverflowError, SnapshotMismatchError
from longctx.planner import window_steps
from longctx.rope import Groups, RopeConfig
from longctx.types import Progress, ProgressCallback

DISCARDED_SHARE = 4
"""A full sliding window drops one token in so many at a time (docs/elastic-window.md)."""


class SessionOwner(Protocol):
    """Who answers for the memory of sessions, and frees them with the model."""

    def make_room(self, n_ctx: int, session: Session) -> None:
        """Called before ``session`` grows to ``n_ctx`` tokens."""

    def lend(self, session: Session) -> None:
        """Called with each fork."""


class Session:
    """One text in one KV cache.

    An elastic window begins at the trained one and moves to the next of the plan's steps when
    the text needs it; the cached keys are turned along, and nothing is prefilled again. With
    Self-Extend the oldest keys move closer together instead. A window that slides drops the
    tokens behind its first ``n_keep``, the attention sinks, when it is full (StreamingLLM, Xiao
    et al. 2024, section 3.2). After any exception, Ctrl-C included, the session holds the
    tokens it says it holds. It may be used from several threads: calls queue.

    Args:
        backend: where contexts come from.
        turner: turns cached keys.
        encode: text to token ids, for :meth:`feed`; a first text gets the model's BOS.
        elastic: whether the window starts small and grows; else it is the plan's at once.
        queue: whose turn each call waits for; None where the caller holds it already.
        owner: told of growth and forks.
        n_outputs: tokens of a batch whose logits can be read at once.
    """

    def __init__(
        self,
        backend: Backend,
        turner: KeyTurner,
        encode: Callable[[str, bool], list[int]],
        *,
        elastic: bool,
        queue: CallQueue | None = None,
        owner: SessionOwner | None = None,
        n_outputs: int = 16,
        cells: Cells | None = None,
    ) -> None:
        self._backend = backend
        self._turner = turner
        self._encode = encode
        self._elastic = elastic
        self.queue = queue
        self._owner = owner
        self._steps = window_steps(backend.plan) if elastic else (backend.plan.n_ctx,)
        self._self_extend = backend.plan.self_extend
        self._slides = backend.plan.overflow == "slide"
        self._n_keep = backend.plan.n_keep
        self._groups: Groups = ()
        self._dropped = array("i")
        self.rescale_s = 0.0
        self.prefilled_again = 0
        self.fallback: str | None = None
        self._cells = cells or Cells(
            backend,
            turner,
            n_ctx=self._steps[0],
            rope=backend.plan.rope_at(self._steps[0]) if elastic else backend.plan.rope,
            n_outputs=n_outputs,
        )

    # Where it stands

    @property
    def tokens(self) -> tuple[int, ...]:
        """The token ids in the cache, in order."""
        return tuple(self._cells.tokens)

    @property
    def text_ids(self) -> list[int]:
        """The token ids of the whole text, those that slid out of the window included."""
        sinks = self._n_keep if self._dropped else 0
        return [*self._cells.tokens[:sinks], *self._dropped, *self._cells.tokens[sinks:]]

    @property
    def is_open(self) -> bool:
        """Whether it still has a cache."""
        return self._cells.is_open

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self._cells.tokens)

    @property
    def n_ctx(self) -> int:
        """The window in tokens."""
        return self._cells.n_ctx

    @property
    def rope(self) -> RopeConfig:
        """The positional encoding of the window."""
        return self._cells.rope

    @property
    def positions(self) -> NDArray[np.int32]:
        """int32[n_tokens]: where each token stands."""
        return self._cells.positions.copy()

    @property
    def dropped_tokens(self) -> int:
        """Tokens of the text that slid out of the window, behind the attention sinks."""
        return len(self._dropped)

    @property
    def method(self) -> str:
        """What stretches the window just now: the method, or none."""
        return "self-extend" if self._groups else self.rope.method

    @property
    def scale(self) -> float:
        """s of the window just now; with Self-Extend, tokens over the trained window."""
        if self._groups:
            return max(1.0, self.n_ctx / self._backend.info.n_ctx_train)
        return self.rope.scale

    @property
    def n_keep(self) -> int:
        """Attention sinks, in tokens: what :meth:`slide` keeps at the front."""
        return self._n_keep

    def pin(self, n_tokens: int) -> None:
        """Let :meth:`slide` keep at least the first ``n_tokens``, such as a system prompt.

        Raises:
            ContextOverflowError: they would leave less than half of the largest window.
        """
        largest = self._steps[-1]
        if n_tokens > largest // 2:
            raise ContextOverflowError(
                f"{n_tokens} pinned tokens are more than half of the window of {largest}; "
                "shorten the system prompt and tools, or plan a larger target_ctx",
                needed=2 * n_tokens,
                available=largest,
                n_ctx=largest,
            )
        if not self._dropped:
            self._n_keep = max(self._backend.plan.n_keep, n_tokens)

    # Text in

    @in_turn
    def feed(self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None) -> None:
        """Append tokens; only they are prefilled. The window grows first if it must.

        Raises:
            ContextOverflowError: they do not fit the largest window; nothing was fed.
        """
        ids = self._as_ids(text_or_ids)
        self._grow_for(self.n_tokens + len(ids), on_progress)
        self._feed(ids, on_progress)

    @in_turn
    def nll(
        self, text_or_ids: str | Ids, *, on_progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """Append tokens as :meth:`feed` does, and score them.

        Returns:
            float32[n], the negative log-likelihood of each token in nats, given all before
            it; float32[n-1] on an empty session, where nothing predicts the first.
        """
        ids = self._as_ids(text_or_ids)
        self._grow_for(self.n_tokens + len(ids), on_progress)
        scores: list[NDArray[np.float32]] = []
        if self.n_tokens and len(ids):
            self._refresh_logits()
            scores.append(negative_log_likelihood(self._cells.logits(), ids[:1]))
        n, step = len(ids), min(self._cells.n_outputs, self._batch)
        started = time.monotonic()
        for begin in range(0, n, step):
            piece = ids[begin : begin + step]
            self._append(piece, "all")
            rows = self._cells.logits(len(piece))
            scores.append(negative_log_likelihood(rows, ids[begin + 1 : begin + 1 + len(piece)]))
            _report(on_progress, begin + len(piece), n, started)
        return np.concatenate(scores) if scores else np.empty(0, np.float32)

    @in_turn
    def next_nll(self, ids: Ids) -> NDArray[np.float32]:
        """Score a continuation without keeping it: float32[len(ids)], nats.

        Raises:
            BackendError: the session is empty, so nothing predicts the first token.
            ContextOverflowError: a full window would have to slide for it, which keeps nothing.
        """
        if not self.n_tokens:
            raise BackendError("next_nll needs some text before the continuation; feed() it first")
        n = self.n_tokens
        if n + len(ids) > self._steps[-1]:
            raise self._too_long(n + len(ids))
        try:
            return self.nll(ids)
        finally:
            self.truncate(n)

    def shared(self, ids: Ids) -> int:
        """Length of the prefix of ``ids`` that need not be prefilled; nothing changes."""
        sinks, n_dropped = self._n_keep if self._dropped else 0, len(self._dropped)
        shared = _common(self._cells.tokens[:sinks], ids[:sinks])
        if shared == sinks:
            shared += _common(self._dropped, ids[sinks : sinks + n_dropped])
        if shared < sinks + n_dropped:
            return min(shared, sinks)
        return shared + _common(self._cells.tokens[sinks:], ids[shared:])

    @in_turn
    def match(self, ids: Ids) -> int:
        """Keep the longest common prefix with ``ids`` and drop the rest; return its length.

        Tokens that slid out of the window count as long as they are the same.
        """
        shared = self.shared(ids)
        self.truncate(shared - len(self._dropped) if shared > self._n_keep else shared)
        return self.n_tokens + len(self._dropped)

    # Text out

    @in_turn
    def sample(self, sampler: Sampler) -> int:
        """Draw the token that follows, without appending it."""
        self._refresh_logits()
        return self._cells.sample(sampler)

    @in_turn
    def advance(self, token: int) -> None:
        """Append one generated token."""
        self._grow_for(self.n_tokens + 1, None)
        threads = self._backend.decode_threads
        if threads is None:
            self._append([token], "last")
            return
        self._cells.set_threads(threads.current())
        started = time.monotonic()
        try:
            self._append([token], "last")
        finally:
            threads.record(time.monotonic() - started)
            self._cells.set_threads(self._backend.n_threads)

    # The window

    @in_turn
    def grow(self, n_ctx: int) -> None:
        """Move to a window of at least ``n_ctx`` tokens (a step of the plan).

        Raises:
            ContextOverflowError: the plan's target is smaller.
        """
        if n_ctx > self._steps[-1]:
            raise self._too_long(n_ctx)
        self._grow_for(n_ctx, None)

    @in_turn
    def shrink(self, n_ctx: int) -> None:
        """Move to the smallest window that holds ``n_ctx`` tokens and the text.

        Raises:
            ContextOverflowError: the text is longer than ``n_ctx``.
        """
        if self.n_tokens > n_ctx:
            raise ContextOverflowError(
                f"the session holds {self.n_tokens} tokens, more than {n_ctx}; truncate() first",
                needed=self.n_tokens,
                available=n_ctx,
                n_ctx=self.n_ctx,
            )
        step = self._step_for(n_ctx)
        if step < self.n_ctx:
            self._arrange(np.arange(self.n_tokens), self._groups, n_ctx=step)

    @in_turn
    def truncate(self, n: int) -> None:
        """Keep the first ``n`` tokens.

        Where the cache cannot drop its end alone (recurrent layers, sliding-window layers
        that have forgotten what the new end needs), the kept tokens are prefilled again.
        """
        n = max(0, n)
        if self._dropped and n <= self._n_keep:
            del self._dropped[:]
        if n >= self.n_tokens:
            return
        kept = self._cells.tokens[:n]
        self._cells.cut(n)
        left = self.n_tokens
        if self._self_extend is not None and left < len(self._groups) * self._self_extend.block:
            self._compress(self._self_extend.compressed(left))
        if not left:
            self.prefilled_again += n
        self._feed(kept[left:], None)

    @in_turn
    def slide(self, n_discard: int) -> None:
        """Drop ``n_discard`` tokens behind the first ``n_keep`` and close the gap.

        The tokens behind it move to lower positions, their keys turned along: positions are
        those inside the cache, as in StreamingLLM. Models whose keys cannot be turned prefill
        what is kept again.

        Raises:
            ContextOverflowError: there are not so many tokens to drop.
        """
        n_keep, n = min(self._n_keep, self.n_tokens), self.n_tokens
        if not 0 < n_discard <= n - n_keep:
            raise ContextOverflowError(
                f"{n_discard} tokens cannot slide out: {n - n_keep} stand behind the {n_keep} "
                "that are kept",
                needed=n_discard,
                available=n - n_keep,
                n_ctx=self.n_ctx,
            )
        gone = self._cells.tokens[n_keep : n_keep + n_discard]
        kept = np.r_[0:n_keep, n_keep + n_discard : n]
        far = self._self_extend
        self._arrange(kept, far.compressed(len(kept)) if far else ())
        self._dropped.extend(gone)

    # Copies

    @in_turn
    def fork(self) -> Session:
        """Copy the session; the two share the cached prefix until they differ.

        Up to 16 share one cache, and its cells; one that must grow, compress or slide, or finds
        no free cell, moves into a cache of its own.
        """
        twin = Session(
            self._backend, self._turner, self._encode,
            elastic=self._elastic, queue=self.queue, owner=self._owner,
            cells=self._cells.fork(),
        )  # fmt: skip
        twin._groups, twin._n_keep = self._groups, self._n_keep
        twin._dropped.extend(self._dropped)
        if self._owner is not None:
            self._owner.lend(twin)
        return twin

    @in_turn
    def save(self, path: str | Path) -> Path:
        """Write the session to a file: all of it or, whatever happens, what was there before.

        Raises:
            BackendError: the file cannot be written.
        """
        snapshot = Snapshot(
            key=snapshot_key(self._backend),
            rope=self.rope,
            n_ctx=self.n_ctx,
            n_keep=self._n_keep,
            groups=self._groups,
            tokens=np.array(self._cells.tokens, dtype=np.int32),
            dropped=np.array(self._dropped, dtype=np.int32),
            positions=self.positions,
            state=self._cells.export(),
        )
        return write_snapshot(Path(path), snapshot)

    @in_turn
    def load(self, path: str | Path) -> None:
        """Put a saved session in place of what is here, at whatever scale it was saved.

        Raises:
            SnapshotMismatchError: it was saved of another model, KV type or llama.cpp build, or
                is damaged; the session is as it was, or empty where its keys cannot be turned.
            ContextOverflowError: it does not fit the largest window.
        """
        snapshot = read_snapshot(Path(path), snapshot_key(self._backend))
        n = len(snapshot.tokens)
        if n > self._steps[-1]:
            raise self._too_long(n)
        self.truncate(0)
        self._arrange(np.arange(0), (), n_ctx=self._step_for(n))
        far = self._self_extend
        groups = far.compressed(n) if far else ()
        positions = far.positions(n, groups) if far else np.arange(n, dtype=np.int32)
        reason = self._cells.restore(
            snapshot.state, snapshot.tokens.tolist(), snapshot.rope, snapshot.positions, positions
        )
        if reason is not None:
            raise SnapshotMismatchError(
                f"{path} was saved at another scale, and {reason}; prefill the text again"
            )
        self._groups, self._n_keep = groups, snapshot.n_keep
        self._dropped = array("i", snapshot.dropped.tolist())

    @in_turn
    def close(self) -> None:
        """Free the cache. Idempotent."""
        self._cells.close()
        self._groups = ()
        del self._dropped[:]

    # Inside

    def _as_ids(self, text_or_ids: str | Ids) -> Ids:
        if isinstance(text_or_ids, str):
            return self._encode(text_or_ids, not self.n_tokens)
        return text_or_ids

    @property
    def _batch(self) -> int:
        """Tokens a batch: fewer than a slide drops, or than a block that must be whole first."""
        limits = [self._cells.n_batch]
        if self._slides:
            limits.append(self._discard)
        if self._self_extend is not None:
            limits.append(self._self_extend.block // 2)
        return max(1, min(limits))

    @property
    def _discard(self) -> int:
        return (self._steps[-1] - self._n_keep) // DISCARDED_SHARE

    def _step_for(self, n_tokens: int) -> int:
        return next((step for step in self._steps if step >= n_tokens), self._steps[-1])

    def _too_long(self, n_tokens: int) -> ContextOverflowError:
        largest = self._steps[-1]
        return ContextOverflowError(
            f"{n_tokens} tokens do not fit the window of {largest}: "
            f"{n_tokens - largest} too many; shorten the text or plan a larger target_ctx",
            needed=n_tokens,
            available=largest,
            n_ctx=largest,
        )

    def _grow_for(self, n_tokens: int, on_progress: ProgressCallback | None) -> None:
        """Make the window hold ``n_tokens``, or be as large as it gets if it slides."""
        if n_tokens > self._steps[-1] and not self._slides:
            raise self._too_long(n_tokens)
        if n_tokens > self.n_ctx and self.n_ctx < self._steps[-1]:
            self._arrange(
                np.arange(self.n_tokens), self._groups,
                n_ctx=self._step_for(n_tokens), on_progress=on_progress,
            )  # fmt: skip

    def _feed(self, ids: Ids, on_progress: ProgressCallback | None) -> None:
        started = time.monotonic()
        n, step = len(ids), self._batch
        for begin in range(0, n, step):
            piece = ids[begin : begin + step]
            self._append(piece, "last" if begin + step >= n else "none")
            _report(on_progress, begin + len(piece), n, started)

    def _append(self, ids: Ids, outputs: Outputs) -> None:
        """Decode one batch; the window slides, or the oldest keys move together, if they must."""
        n_tokens = self.n_tokens + len(ids)
        if n_tokens > self.n_ctx:
            self.slide(max(1, self._discard))
            n_tokens = self.n_tokens + len(ids)
        if self._self_extend is not None:
            self._compress(self._self_extend.compressed(n_tokens, self._groups))
        self._cells.decode(ids, outputs)

    def _refresh_logits(self) -> None:
        """After a truncate, the logits are another token's: decode the last token again."""
        if self._cells.has_logits:
            return
        if not self.n_tokens:
            raise BackendError("the session is empty; feed() it some text first")
        last = self._cells.tokens[-1]
        self.truncate(self.n_tokens - 1)
        self._append([last], "last")

    def _compress(self, groups: Groups) -> None:
        if groups != self._groups:
            self._arrange(np.arange(self.n_tokens), groups)

    def _arrange(
        self,
        kept: NDArray[np.intp],
        groups: Groups,
        *,
        n_ctx: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        """Keep some tokens, under these groups and in this window; time it."""
        started = time.monotonic()
        far, n = self._self_extend, len(kept)
        positions = far.positions(n, groups) if far else np.arange(n, dtype=np.int32)
        if n_ctx is not None and n_ctx > self.n_ctx and self._owner is not None:
            self._owner.make_room(n_ctx, self)
        rope = self._backend.plan.rope_at(n_ctx) if n_ctx and self._elastic else self.rope
        tokens = [self._cells.tokens[i] for i in kept]
        reason = self._cells.rearrange(kept, positions, n_ctx=n_ctx, rope=rope)
        self._groups = groups
        if reason is not None:
            self._groups = ()
            self.prefilled_again += n
            self.fallback = f"the window changed by a second prefill: {reason}"
            self._feed(tokens, on_progress)
        self.rescale_s += time.monotonic() - started


def _common(held: Ids | array[int], wanted: Ids) -> int:
    """Length of the longest common prefix."""
    n = min(len(held), len(wanted))
    differs = np.flatnonzero(np.asarray(held[:n]) != np.asarray(wanted[:n]))
    return int(differs[0]) if differs.size else n


def _report(callback: ProgressCallback | None, done: int, total: int, started: float) -> None:
    if callback is not None:
        callback(
            Progress(done_tokens=done, total_tokens=total, elapsed_s=time.monotonic() - started)
        )
