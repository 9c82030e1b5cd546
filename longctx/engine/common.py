"""The context that all conversations share, as sequences of one KV cache."""

from __future__ import annotations

from longctx.backends import Backend
from longctx.cache.shared import Lease, OwnContexts, SharedContext
from longctx.planner import window_steps
from longctx.rope import RopeConfig

N_SEQUENCES = 32
"""Conversations in the common context, answering or kept; each costs a row of logits."""


class CommonContexts:
    """Gives texts a sequence in the common context where they can stand in it.

    They can as long as their window has its RoPE. Unscaled and under Self-Extend that is every
    window, so the context has cells for the whole of the plan's from the beginning: growing
    allocates nothing, a prefix that several conversations have in common is held once, and
    answers are decoded together. Windows of another RoPE get contexts of their own. So does
    everything of a model whose layers would take the full size once for each sequence (sliding
    windows, recurrent states).

    Args:
        backend: the plan, and where contexts come from.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._own = OwnContexts(backend, 1)
        plan = backend.plan
        steps = window_steps(plan) if plan.window == "elastic" else (plan.n_ctx,)
        self.first_window = steps[0]
        self._rope = plan.rope_at(steps[0])
        self._n_ctx = max(step for step in steps if plan.rope_at(step) == self._rope)
        self._shared: SharedContext | None = None

    @property
    def shared(self) -> SharedContext | None:
        """The common context; None before the first text, and where there is none."""
        return self._shared

    @property
    def n_ctx(self) -> int:
        """Tokens that the common context has cells for; 0 while it is not open."""
        return self._n_ctx if self._shared is not None else 0

    @property
    def is_for_all(self) -> bool:
        """Whether every text begins in the common context."""
        return self._backend.holds_sequences

    def holds(self, n_ctx: int, rope: RopeConfig) -> bool:
        """Whether a window may stand in the common context."""
        return self.is_for_all and rope == self._rope and n_ctx <= self._n_ctx

    def keeps(self, shared: SharedContext, n_ctx: int) -> bool:
        """Whether a text that stands in ``shared`` needs no memory for a window of ``n_ctx``."""
        plan = self._backend.plan
        rope = plan.rope_at(n_ctx) if plan.window == "elastic" else plan.rope
        return shared.is_common and self.holds(n_ctx, rope)

    def lease(self, n_ctx: int, rope: RopeConfig) -> Lease:
        """Take a sequence of the common context, or open one that is the text's own.

        Raises:
            BackendError: llama.cpp cannot allocate it.
        """
        if not self.holds(n_ctx, rope):
            return self._own.lease(n_ctx, rope)
        if self._shared is None:
            context = self._backend.open(self._n_ctx, rope, n_outputs=1, n_sequences=N_SEQUENCES)
            self._shared = SharedContext(context, rope, is_common=True)
        sequence = self._shared.take()
        if sequence is None:
            return self._own.lease(n_ctx, rope)
        return Lease(self._shared, sequence)

    def close(self) -> None:
        """Free the common context; every text in it must be closed before."""
        if self._shared is not None:
            self._shared.context.close()
            self._shared = None
