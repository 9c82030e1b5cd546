"""The window that a text stands in: it grows, compresses, slides and shrinks with it."""

from __future__ import annotations

import time
from array import array
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longctx.backends import Backend
from longctx.cache.cells import Cells, Ids, Outputs
from longctx.errors import ContextOverflowError
from longctx.rope import Groups
from longctx.types import Progress, ProgressCallback

DISCARDED_SHARE = 4
"""A full sliding window drops one token in so many at a time (docs/elastic-window.md)."""


class WindowOwner(Protocol):
    """Who answers for the memory of windows."""

    def make_room(self, n_ctx: int, window: Window) -> None:
        """Called before ``window`` grows to ``n_ctx`` tokens."""


class Window:
    """Tokens in a cache, and what happens when they are too many for it.

    Args:
        backend: the plan, and contexts to move to.
        cells: the tokens, and where they stand.
        owner: told of growth.
    """

    def __init__(self, backend: Backend, cells: Cells, owner: WindowOwner | None) -> None:
        plan = backend.plan
        self._backend = backend
        self._owner = owner
        self.cells = cells
        self.steps = plan.steps
        self.far = plan.self_extend
        self.groups: Groups = ()
        self.dropped = array("i")
        self.n_keep = plan.n_keep
        self.rescale_s = 0.0
        self.prefilled_again = 0
        self.fallback: str | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self.cells.tokens)

    @property
    def largest(self) -> int:
        """Tokens that it can hold at most."""
        return self.steps[-1]

    @property
    def slides(self) -> bool:
        """Whether it drops tokens when it is full."""
        return self._backend.plan.overflow == "slide"

    @property
    def n_batch(self) -> int:
        """Tokens a batch: fewer than a slide drops, or than a block that must be whole first."""
        limits = [self.cells.n_batch]
        if self.slides:
            limits.append(self._discard)
        if self.far is not None:
            limits.append(self.far.block // 2)
        return max(1, min(limits))

    @property
    def _discard(self) -> int:
        return (self.largest - self.n_keep) // DISCARDED_SHARE

    def step_for(self, n_tokens: int) -> int:
        """The smallest step that holds ``n_tokens``, or the largest."""
        return next((step for step in self.steps if step >= n_tokens), self.largest)

    def check_fits(self, n_tokens: int) -> None:
        """Refuse more tokens than it can ever hold.

        Raises:
            ContextOverflowError: they are more than the largest window.
        """
        self._backend.plan.check_fit(n_tokens)

    # Tokens

    def feed(self, ids: Ids, on_progress: ProgressCallback | None = None) -> None:
        """Prefill tokens, batch by batch; the last one's logits are kept."""
        started = time.monotonic()
        n, step = len(ids), self.n_batch
        for begin in range(0, n, step):
            piece = ids[begin : begin + step]
            self.append(piece, "last" if begin + step >= n else "none")
            report(on_progress, begin + len(piece), n, started)

    def append(self, ids: Ids, outputs: Outputs) -> None:
        """Decode one batch; the window slides, or the oldest keys move together, if they must."""
        self.admit(len(ids))
        self.cells.decode(ids, outputs)

    def admit(self, n_more: int) -> None:
        """Slide, or let the oldest keys move together, as so many more tokens need it."""
        n_tokens = self.n_tokens + n_more
        if n_tokens > self.cells.n_ctx:
            self.slide(max(1, self._discard))
            n_tokens = self.n_tokens + n_more
        if self.far is not None:
            self.compress(self.far.compressed(n_tokens, self.groups))

    def truncate(self, n: int) -> None:
        """Keep the first ``n`` tokens; prefill again what the cache could not keep of them."""
        if self.dropped and n <= self.n_keep:
            del self.dropped[:]
        if n >= self.n_tokens:
            return
        kept = self.cells.tokens[:n]
        self.cells.cut(n)
        left = self.n_tokens
        if self.far is not None and left < len(self.groups) * self.far.block:
            self.compress(self.far.compressed(left))
        if not left:
            self.prefilled_again += n
        self.feed(kept[left:])

    # Changes

    def grow_for(self, n_tokens: int, on_progress: ProgressCallback | None = None) -> None:
        """Hold ``n_tokens``, or be as large as it gets if it slides.

        Raises:
            ContextOverflowError: it does not slide, and they are too many.
        """
        if not self.slides:
            self.check_fits(n_tokens)
        if n_tokens > self.cells.n_ctx and self.cells.n_ctx < self.largest:
            self.resize(self.step_for(n_tokens), on_progress)

    def resize(self, n_ctx: int, on_progress: ProgressCallback | None = None) -> None:
        """Move to a window of ``n_ctx`` tokens, and to the RoPE of its scale."""
        if n_ctx > self.cells.n_ctx and self._owner is not None:
            self._owner.make_room(n_ctx, self)
        everything = np.arange(self.n_tokens)
        self._arrange(everything, self.groups, n_ctx=n_ctx, on_progress=on_progress)

    def compress(self, groups: Groups) -> None:
        """Let the oldest blocks of Self-Extend have these groups."""
        if groups != self.groups:
            self._arrange(np.arange(self.n_tokens), groups)

    def slide(self, n_discard: int) -> None:
        """Drop ``n_discard`` tokens behind the attention sinks and close the gap.

        Raises:
            ContextOverflowError: there are not so many tokens to drop.
        """
        n = self.n_tokens
        n_keep = min(self.n_keep, n)
        if not 0 < n_discard <= n - n_keep:
            raise ContextOverflowError(
                f"{n_discard} tokens cannot slide out: {n - n_keep} stand behind the {n_keep} "
                "that are kept",
                needed=n_discard,
                available=n - n_keep,
                n_ctx=self.cells.n_ctx,
            )
        gone = self.cells.tokens[n_keep : n_keep + n_discard]
        kept = np.r_[0:n_keep, n_keep + n_discard : n]
        self._arrange(kept, self.far.compressed(len(kept)) if self.far else ())
        self.dropped.extend(gone)

    def positions(self, n_tokens: int, groups: Groups) -> NDArray[np.int32]:
        """Where tokens stand under these groups: int32[n_tokens]."""
        if self.far is None:
            return np.arange(n_tokens, dtype=np.int32)
        return self.far.positions(n_tokens, groups)

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
        plan = self._backend.plan
        rope = plan.rope_at(n_ctx) if n_ctx and plan.window == "elastic" else self.cells.rope
        tokens = [self.cells.tokens[i] for i in kept]
        positions = self.positions(len(kept), groups)
        reason = self.cells.rearrange(kept, positions, n_ctx=n_ctx, rope=rope)
        self.groups = groups
        if reason is not None:
            self.groups = ()
            self.prefilled_again += len(tokens)
            self.fallback = f"the window changed by a second prefill: {reason}"
            self.feed(tokens, on_progress)
        self.rescale_s += time.monotonic() - started


def report(callback: ProgressCallback | None, done: int, total: int, started: float) -> None:
    """Tell a callback how far a prefill is."""
    if callback is not None:
        callback(
            Progress(done_tokens=done, total_tokens=total, elapsed_s=time.monotonic() - started)
        )
