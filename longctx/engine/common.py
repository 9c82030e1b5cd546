"""The contexts that conversations share, as sequences of one KV cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from longctx._native import CacheFullError
from longctx.backends import Backend
from longctx.cache.shared import Lease, OwnContexts, SharedContext
from longctx.planner import N_SEQUENCES
from longctx.rope import RopeConfig

Relieve: TypeAlias = Callable[[SharedContext, Callable[[], bool]], SharedContext | None]
"""Lets others leave a full context until there are cells enough; or gives another context."""


def _nobody_goes(_full: SharedContext, _are_enough: Callable[[], bool]) -> None:
    return None


class CommonContexts:
    """Gives texts a sequence in a common context where they can stand in one.

    They can as long as their window has its RoPE. Unscaled and under Self-Extend that is every
    window, so the context has cells for the whole of the plan's from the beginning: growing
    allocates nothing, a prefix that several conversations have in common is held once, and
    answers are decoded together. Another context of the same kind is opened when the first is
    full. Windows of another RoPE get contexts of their own. So does everything of a model whose
    layers would take the full size once for each sequence (sliding windows, recurrent states).

    Args:
        backend: the plan, and where contexts come from.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._own = OwnContexts(backend, 1)
        plan = backend.plan
        self.first_window = plan.first_window
        self._rope = plan.rope_at(self.first_window)
        self.n_ctx = max(step for step in plan.steps if plan.rope_at(step) == self._rope)
        self.is_for_every_window = self.n_ctx == plan.steps[-1]
        self._contexts: list[SharedContext] = []
        self._relieve: Relieve = _nobody_goes

    def when_full(self, relieve: Relieve) -> None:
        """Ask this for cells where texts that are kept may make way for others."""
        self._relieve = relieve

    @property
    def rope(self) -> RopeConfig:
        """Of every text in them."""
        return self._rope

    @property
    def n_open(self) -> int:
        """Common contexts that are open, each of :attr:`n_ctx` tokens."""
        return len(self._contexts)

    @property
    def beside_first(self) -> tuple[SharedContext, ...]:
        """Those that are closed when nothing stands in them."""
        return tuple(self._contexts[1:])

    @property
    def is_for_all(self) -> bool:
        """Whether every text begins in a common context."""
        return self._backend.holds_sequences

    def holds(self, n_ctx: int, rope: RopeConfig) -> bool:
        """Whether a window may stand in a common context."""
        return self.is_for_all and rope == self._rope and n_ctx <= self.n_ctx

    def keeps(self, shared: SharedContext, n_ctx: int) -> bool:
        """Whether a text that stands in ``shared`` needs no memory for a window of ``n_ctx``."""
        return shared.is_common and self.fits(n_ctx)

    def fits(self, n_ctx: int) -> bool:
        """Whether a text can stand in a common context with a window of ``n_ctx``."""
        plan = self._backend.plan
        rope = plan.rope_at(n_ctx) if plan.window == "elastic" else plan.rope
        return self.holds(n_ctx, rope)

    def window_for(self, n_tokens: int) -> int:
        """The window in which a text of ``n_tokens`` stands; the largest, if it is longer."""
        steps = self._backend.plan.steps
        return next((step for step in steps if step >= n_tokens), steps[-1])

    def place_for(
        self, n_tokens: int, besides: SharedContext | None = None
    ) -> SharedContext | None:
        """An open context other than ``besides`` with a free sequence and so many free cells."""
        for shared in self._contexts:
            is_free = shared is not besides and shared.n_free_sequences
            if is_free and shared.has_free_cells(n_tokens):
                return shared
        return None

    def open(self) -> SharedContext:
        """Open one more.

        Raises:
            BackendError: llama.cpp cannot allocate it.
        """
        context = self._backend.open(self.n_ctx, self._rope, n_outputs=1, n_sequences=N_SEQUENCES)
        self._contexts.append(SharedContext(context, self._rope, is_common=True))
        return self._contexts[-1]

    def lease(self, n_ctx: int, rope: RopeConfig) -> Lease:
        """Take a sequence where most cells are free, or open a context that is the text's own.

        Raises:
            CacheFullError: others have all sequences.
            BackendError: llama.cpp cannot allocate it.
        """
        if not self.holds(n_ctx, rope):
            self.close_empty()  # it may have been the last text of the context that it has left
            return self._own.lease(n_ctx, rope)
        # The pool opens one more while memory bears it; here only the first is opened unasked.
        free = [shared for shared in self._contexts if shared.n_free_sequences]
        if not free and not self._contexts:
            free = [self.open()]
        if not free:
            raise CacheFullError(
                f"{len(self._contexts) * N_SEQUENCES} texts are under way, and no more can be; "
                "ask again when one has ended"
            )
        # A text should grow where it stands: moving later takes a copy of it.
        emptiest = min(free, key=lambda shared: shared.cells.n_used)
        return emptiest.lease()

    def join(self, n_ctx: int, rope: RopeConfig, n_tokens: int, /) -> Lease | None:
        """A sequence in a common context, with ``n_tokens`` free cells; None where a window cannot
        stand in one.

        Raises:
            CacheFullError: nobody can make way now.
            BackendError: llama.cpp cannot allocate another context.
        """
        if not self.holds(n_ctx, rope):
            return None
        place = self.place_for(n_tokens) or (None if self._contexts else self.open())
        if place is None:
            full = min(self._contexts, key=lambda shared: shared.cells.n_used)

            def are_enough() -> bool:
                return full.n_free_sequences > 0 and full.has_free_cells(n_tokens)

            place = self._relieve(full, are_enough) or (full if are_enough() else None)
        if place is None:
            raise self._no_cells(full, n_tokens)
        return place.lease()

    def make_cells(
        self, full: SharedContext, n_ctx: int, n_tokens: int, are_enough: Callable[[], bool], /
    ) -> Lease | None:
        """Cells for a text in a full context; in a context of its own only where it had one.

        A common context has the memory that the plan gives all texts: whoever finds no cells there
        waits, and is given none besides.

        Raises:
            CacheFullError: nobody can make way now.
            BackendError: llama.cpp cannot allocate another context.
        """
        if not full.is_common:
            return self._own.make_cells(full, n_ctx, n_tokens, are_enough)
        if full not in self._contexts:  # a text has outgrown its stream
            return self.join(n_ctx, full.rope, n_tokens)
        place = self.place_for(n_tokens, besides=full) or self._relieve(full, are_enough)
        if place is not None:
            return place.lease()
        if are_enough():
            return None
        raise self._no_cells(full, n_tokens)

    def _no_cells(self, full: SharedContext, n_tokens: int) -> CacheFullError:
        return CacheFullError(
            f"others have the cells of the KV cache of {full.context.n_ctx} tokens, and a text of "
            f"{n_tokens} finds none; ask again when they have ended, or plan a larger target_ctx"
        )

    def close_empty(self) -> None:
        """Free the contexts in which nothing stands, but for the first."""
        for shared in self.beside_first:  # the plan has memory for the first at any time
            if not shared.is_taken:
                shared.context.close()
                self._contexts.remove(shared)

    def close(self) -> None:
        """Free all; every text in them must be closed before."""
        for shared in self._contexts:
            shared.context.close()
        self._contexts.clear()
