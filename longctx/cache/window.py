"""The window that a text stands in: it grows, groups, compresses, slides and shrinks with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longctx.backends import Backend
from longctx.cache.cells import Cells, Ids, Outputs
from longctx.cache.compress import RECENT_SHARE, THINNED_SHARE
from longctx.cache.compressing import compress_text
from longctx.cache.middle import Middle
from longctx.cache.placing import Placing
from longctx.cache.rearranger import Rearranger
from longctx.errors import ContextOverflowError, UnsupportedModelError
from longctx.progress import Meter
from longctx.rope import Groups
from longctx.types import ProgressCallback

DISCARDED_SHARE = 4
"""A full sliding window drops one token in so many at a time (docs/elastic-window.md)."""


class WindowOwner(Protocol):
    """Who answers for the memory of windows."""

    def make_room(self, n_ctx: int, window: Window) -> None:
        """Called before ``window`` grows to ``n_ctx`` tokens."""


class Window:
    """Tokens in a cache, and what happens when they are too many for it.

    Scale and positions follow from the length of the text (and from a :meth:`grow`), not from how
    it came: at once or token by token, or cut back from a longer one. Otherwise the same text would
    be answered otherwise after another history (tests/cache/test_same_state.py).

    Args:
        backend: the plan, and contexts to move to.
        cells: the tokens, and where they stand.
        rearranger: moves them.
        owner: told of growth.
    """

    def __init__(
        self,
        backend: Backend,
        cells: Cells,
        rearranger: Rearranger,
        owner: WindowOwner | None,
    ) -> None:
        plan = backend.plan
        self._backend = backend
        self._forgets = backend.info.forgets  # asked of every batch, and it walks all layers
        self._owner = owner
        self.cells = cells
        self._rearranger = rearranger
        self.steps = plan.steps
        self.smallest = 0
        self._rope_at = cache(plan.rope_at)
        self.placing = Placing(plan.self_extend)
        self.groups: Groups = ()
        self.middle = Middle(plan.n_keep)
        # Tokens at the front that are as a prefill makes them; None is all, attached text begins
        # behind the others.
        self.n_exact: int | None = None
        self.rescale_s = 0.0
        self.prefilled_again = 0
        self.fallback: str | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self.cells.tokens)

    def take_over(self, other: Window) -> None:
        """Be as another window, of whose cells these are a copy."""
        self.groups, self.smallest, self.n_exact = other.groups, other.smallest, other.n_exact
        self.middle.n_keep = other.middle.n_keep
        self.middle.put(other.middle.dropped, other.middle.composite)

    def clear(self) -> None:
        """Be as the window of no text."""
        self.groups = ()
        self.middle.clear()

    @property
    def text_ids(self) -> list[int]:
        """The token ids of the whole text, also of what does not stand whole."""
        return self.middle.whole_text(self.cells.tokens)

    @property
    def largest(self) -> int:
        """Tokens that it can hold at most."""
        return self.steps[-1]

    @property
    def is_endless(self) -> bool:
        """Whether it makes room by itself when it is full."""
        return self._backend.plan.is_endless

    def step_for(self, n_tokens: int) -> int:
        """The smallest step that holds ``n_tokens``, or the largest."""
        wanted = max(n_tokens, self.smallest)
        return next((step for step in self.steps if step >= wanted), self.largest)

    def check_fits(self, n_tokens: int) -> None:
        """Refuse more tokens than it can ever hold.

        Raises:
            ContextOverflowError: they are more than the largest window.
        """
        self._backend.plan.check_fit(n_tokens)

    # Tokens

    def feed(self, ids: Ids, on_progress: ProgressCallback | None = None) -> None:
        """Prefill tokens, batch by batch; the last one's logits are kept."""
        for _ in self.batches(ids, on_progress=on_progress):
            pass

    def batches(
        self, ids: Ids, *, scored: int = 0, on_progress: ProgressCallback | None = None
    ) -> Iterator[tuple[int, int]]:
        """Prefill tokens, batch by batch.

        A batch ends where the window grows, makes room, or the oldest keys move, so that each token
        is computed at the same scale, among the same positions, however a text is cut into calls.

        Args:
            ids: the tokens.
            scored: keep the logits of whole batches, of so many tokens at most; 0 keeps the
                last token's.
            on_progress: called after each batch.

        Yields:
            Where the batch begins and ends in ``ids``.
        """
        begin, n = 0, len(ids)
        meter = Meter(on_progress, n)
        while begin < n:
            # For one token: the text is as long as it is, not as long as it will be.
            self.admit(1)
            end = min(n, begin + min(self.room, scored or n))
            # Scored text has the logits of every token, so that none is decoded again for them.
            end -= self.comes_alone(n - begin, end - begin) and not scored
            outputs: Outputs = "all" if scored else "last" if end == n else "none"
            self.cells.decode(ids[begin:end], outputs)
            yield begin, end
            meter.tell(end)
            begin = end

    @property
    def room(self) -> int:
        """Tokens that the next batch may take, where one at least was admitted."""
        n = self.n_tokens
        limits = [self.cells.n_batch, self.cells.n_cells - n]
        if (lasts := self.placing.lasts(n + 1)) is not None:
            limits.append(lasts - n)
        return min(limits)

    def comes_alone(self, n_pending: int, n_batch: int) -> bool:
        """Whether the last of so many tokens should not be in a batch that has room for them.

        Where layers forget, a checkpoint is kept before it: to predict what follows a text that
        was cut back to where it ends, its last token is decoded again.
        """
        return self._forgets and 1 < n_pending <= n_batch

    def append(self, token: int) -> None:
        """Decode one token."""
        self.admit(1)
        self.cells.decode([token], "last")

    def admit(self, n_more: int) -> None:
        """Be as a text of so many more tokens is: at its scale, slid, its oldest keys moved.

        Keys that cannot be re-rotated stay at the scale of the longest text that was expected.
        """
        n_tokens = self.n_tokens + n_more
        step = self.step_for(n_tokens)
        too_small = n_tokens > self.cells.n_ctx and self.cells.n_ctx < self.largest
        rope = self._rope_at(step)
        # Also where there are cells enough: a text that was cut back has the scale of its length.
        if too_small or (rope != self.cells.rope and self._rearranger.can_rotate_to(rope)):
            self.resize(step)
        if n_tokens > self.cells.n_ctx:
            self._make_room()
            n_tokens = self.n_tokens + n_more
        self.group(self.placing.groups_of(n_tokens))
        if n_tokens > self.cells.n_cells:
            self.cells.find_room(n_more)  # it has outgrown a stream

    def truncate(self, n: int) -> None:
        """Keep the first ``n`` tokens, where they would stand had there been no others.

        What the cache could not keep of them is prefilled again. So are those that stand in
        composite cells, where each head has kept others.
        """
        middle = self.middle
        if middle.n_keep < n < middle.end:
            self.read_again(self.text_ids[:n])
            return
        if n <= middle.n_keep:
            middle.clear()
        self.go_back(n)

    def go_back(self, n: int) -> None:
        """Keep the first ``n`` cells with all that they stand for: also what slid out before them,
        or was compressed to nothing, where :meth:`truncate` to the sinks forgets it."""
        middle, whole = self.middle, self.middle.end
        if self.n_exact is not None and n <= self.n_exact and (not middle or n > middle.n_keep):
            self.n_exact = None
        if n >= self.n_tokens:
            return
        kept = middle.text_of(self.cells.tokens[:n])
        self.cells.cut(n)
        # A cache that forgets was cut to less: and a part of the composite cells says nothing.
        if self.n_tokens < whole and middle.composite.n_cells:
            self.cells.cut(0)
            self.clear()
        left, missing = self.n_tokens, middle.n_missing if middle.composite.n_cells else 0
        self.prefilled_again += len(kept) - left - missing
        if not left:
            self.groups = ()
        self.group(self.placing.groups_of(left))
        self.feed(kept[left + missing :])

    def read_again(self, text: list[int]) -> None:
        """Be of a text that begins as the one here, which is prefilled from the sinks on."""
        n_keep = self.middle.n_keep
        self.truncate(n_keep)
        self.prefilled_again += len(text) - n_keep
        self.feed(text[n_keep:])

    # Changes

    def expect(self, n_tokens: int, on_progress: ProgressCallback | None = None) -> None:
        """Before a text of ``n_tokens`` comes: refuse it, or grow at once where that is the same.

        It is not where the scale changes with the window: the tokens that a smaller one holds
        are computed there, as they are when they come first.

        Raises:
            ContextOverflowError: it does not make room by itself, and they are too many.
        """
        if not self.is_endless:
            self.check_fits(n_tokens)
        rope = self._rope_at(self.step_for(n_tokens))
        if rope == self.cells.rope or not self._rearranger.can_rotate_to(rope):
            self.grow_for(n_tokens, on_progress)

    def grow(self, n_ctx: int) -> None:
        """Move to a window of at least ``n_ctx`` tokens, until :meth:`shrink`.

        Raises:
            ContextOverflowError: the plan's target is smaller.
        """
        self.check_fits(n_ctx)
        self.grow_for(n_ctx)
        self.smallest = max(self.smallest, n_ctx)

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
                n_ctx=self.cells.n_ctx,
            )
        self.smallest = 0
        step = self.step_for(n_ctx)
        # A fork's cells are held by its twins as well: leaving them would free nothing, and take
        # a second copy.
        if step < self.cells.n_ctx and (self.cells.is_alone or self.cells.shared.is_common):
            self.resize(step)

    def pin(self, n_tokens: int) -> None:
        """Let :meth:`slide` keep at least the first ``n_tokens``.

        Raises:
            ContextOverflowError: they would leave less than half of the largest window.
        """
        if n_tokens > self.largest // 2:
            raise ContextOverflowError(
                f"{n_tokens} pinned tokens are more than half of the window of {self.largest}; "
                "shorten the system prompt and tools, or plan a larger target_ctx",
                needed=2 * n_tokens,
                available=self.largest,
                n_ctx=self.largest,
            )
        # Once tokens slid out, what stands behind the sinks is no longer the text's beginning.
        if not self.middle:
            self.middle.n_keep = max(self._backend.plan.n_keep, n_tokens)

    def grow_for(self, n_tokens: int, on_progress: ProgressCallback | None = None) -> None:
        """Hold ``n_tokens``, or be as large as it gets."""
        if n_tokens > self.cells.n_ctx and self.cells.n_ctx < self.largest:
            self.resize(self.step_for(n_tokens), on_progress)

    def resize(self, n_ctx: int, on_progress: ProgressCallback | None = None) -> None:
        """Move to a window of ``n_ctx`` tokens, and to the RoPE of its scale."""
        if n_ctx > self.cells.n_ctx and self._owner is not None:
            self._owner.make_room(n_ctx, self)
        everything = np.arange(self.n_tokens)
        self._arrange(everything, self.groups, n_ctx=n_ctx, on_progress=on_progress)

    def group(self, groups: Groups) -> None:
        """Let the oldest blocks of Self-Extend have these groups.

        Raises:
            UnsupportedModelError: llama.cpp's keys are not what the plan took them for.
        """
        if groups == self.groups:
            return
        # Nothing but moved keys makes a text of so many tokens fit: another prefill would end here.
        if (reason := self._rearranger.moving_obstacle()) is not None:
            raise UnsupportedModelError(
                f"the window cannot grow by Self-Extend: {reason}; open the model with "
                "method='yarn'"
            )
        self._arrange(np.arange(self.n_tokens), groups)

    def slide(self, n_discard: int) -> None:
        """Drop ``n_discard`` tokens behind the attention sinks and close the gap.

        Raises:
            ContextOverflowError: there are not so many tokens to drop.
        """
        n = self.n_tokens
        middle, n_keep = self.middle, min(self.middle.n_keep, n)
        if not 0 < n_discard <= n - n_keep:
            raise ContextOverflowError(
                f"{n_discard} tokens cannot slide out: {n - n_keep} stand behind the {n_keep} "
                "that are kept",
                needed=n_discard,
                available=n - n_keep,
                n_ctx=self.cells.n_ctx,
            )
        composite = middle.composite  # a second prefill, where keys cannot move, would forget it
        gone = self.cells.tokens[n_keep + composite.n_cells : n_keep + n_discard]
        kept = np.r_[0:n_keep, n_keep + n_discard : n]
        self._arrange(kept, self.placing.groups_of(len(kept)))
        middle.lose(gone, composite.without_first(n_discard))
        if self.n_exact is not None:  # where attached text began is nearer to the sinks now
            self.n_exact = min(self.n_exact, max(n_keep, self.n_exact - n_discard))

    def _make_room(self) -> None:
        """Be less than full."""
        n = self.n_tokens
        n_recent = self.largest // RECENT_SHARE
        n_thinned = (n - self.middle.n_keep - n_recent) // THINNED_SHARE
        if self._backend.plan.compresses and n_thinned > 0:
            compress_text(self, self._rearranger, n - n_thinned, n_recent=n_recent)
        # Nothing is left to thin, or all of it is shielded; one token must find room all the same.
        if self.n_tokens == n:
            self.slide(max(1, (self.largest - self.middle.n_keep) // DISCARDED_SHARE))

    def stays(self, n_kept: int, n_tokens: int) -> bool:
        """Whether a text that is cut back and then grows keeps the cells that it is left.

        Where it slides, or its oldest tokens move closer together, all of it is put into cells
        anew: into others, as long as a fork stands in these too.

        Args:
            n_kept: tokens that it is cut back to.
            n_tokens: tokens that it grows to.
        """
        if n_tokens > self.largest:
            return False
        return self.groups == self.placing.groups_of(n_kept) == self.placing.groups_of(n_tokens)

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
        rope = self._rope_at(n_ctx) if n_ctx else self.cells.rope
        text = self.middle.text_of([self.cells.tokens[i] for i in kept])
        positions = self.placing.positions(len(kept), groups)
        reason = self._rearranger.rearrange(kept, positions, n_ctx=n_ctx, rope=rope)
        self.groups = groups
        if reason is not None:
            # The cache is empty now, and as large as was asked for. Feeding the tokens from the
            # first brings the groups back, each where a text of that length has it.
            self.groups = ()
            if self.middle.composite.n_cells:
                self.clear()
            self.prefilled_again += len(text)
            self.fallback = f"the window changed by a second prefill: {reason}"
            self.feed(text, on_progress)
        self.rescale_s += time.monotonic() - started
