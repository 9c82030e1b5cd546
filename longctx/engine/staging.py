"""A small context in which prompts are prefilled, away from the cells of everyone else.

Flash attention on a CPU reads the mask of every cell up to the last one in use, for every row and
head, also where the cell is another text's. With 8,000 cells taken that is half of a prefill's time
(docs/engine.md). So a prompt is prefilled where nobody else stands, and its keys and values, some
megabytes, are copied to the common context when it is done.
"""

from __future__ import annotations

from collections.abc import Callable

from longctx.backends import Backend
from longctx.cache import Session
from longctx.cache.shared import SharedContext
from longctx.engine.common import CommonContexts
from longctx.planner import CELLS_APART

CELLS = CELLS_APART
"""Of the context: longer prompts are prefilled in place, where their own cells are the most."""
N_SEQUENCES = 2
"""Prompts in it at once: the one that came first, and a shorter one that overtakes it."""
WORTH_TOKENS = 128
"""A prompt's tokens from which on the two copies cost less than they save."""
WORTH_CELLS = 1024
"""Cells of others from which on they slow a prefill by more than a tenth."""
MAX_HELD = 64
"""Tokens that a session may have already: more may be cells that it shares with others, which
would be doubled by a copy."""


class Staging:
    """Where prompts are prefilled before they join the others.

    Args:
        backend: opens the context.
        common: where texts stay.
        cost_bytes: memory of a context whose window has so many tokens.
        has_room: whether so many bytes more fit the memory that the plan has.
    """

    def __init__(
        self,
        backend: Backend,
        common: CommonContexts,
        *,
        cost_bytes: Callable[[int], int],
        has_room: Callable[[int], bool],
    ) -> None:
        self._backend = backend
        self._common = common
        self._n_ctx = min(CELLS, common.n_ctx)
        self._cost_bytes = cost_bytes(self._n_ctx)
        self._has_room = has_room
        self._shared: SharedContext | None = None
        # Cells for the whole prompt of each session here, also for what is not prefilled yet.
        self._promised: dict[Session, int] = {}

    @property
    def n_bytes(self) -> int:
        """Memory of the context; 0 while it is not open."""
        return self._cost_bytes if self._shared is not None else 0

    def holds(self, session: Session) -> bool:
        """Whether a session stands in it."""
        return session.is_open and self._is_here(session.shared_context)

    def is_worth(self, session: Session, n_pending: int) -> bool:
        """Whether a prompt is prefilled sooner here than where its session stands.

        Args:
            session: where the prompt is to stay.
            n_pending: tokens to prefill.
        """
        n_tokens = session.n_tokens + n_pending
        if not self._backend.attends_on_cpu or n_pending < WORTH_TOKENS:
            return False
        shared = session.shared_context
        return (
            session.n_tokens <= MAX_HELD
            and n_tokens < self._n_ctx
            and shared.is_common
            and not self._is_here(shared)
            and shared.n_used_cells - session.n_tokens >= WORTH_CELLS
            and (self._shared is not None or self._has_room(self._cost_bytes))
        )

    def enter(self, session: Session, n_tokens: int) -> bool:
        """Let a session stand here until its prompt of ``n_tokens`` is prefilled.

        Returns:
            False where it must wait for others to leave.

        Raises:
            BackendError: llama.cpp cannot allocate the context.
        """
        if self._shared is None:
            context = self._backend.open(
                self._n_ctx, self._common.rope, n_outputs=1, n_sequences=N_SEQUENCES
            )
            self._shared = SharedContext(context, self._common.rope, is_common=True)
        self._promised = {s: n for s, n in self._promised.items() if self.holds(s)}
        n_free = self._n_ctx - sum(self._promised.values())
        # A cell more than the prompt: its answer may have to begin here.
        if not self._shared.n_free_sequences or n_free <= n_tokens:
            return False
        session.move(self._shared)
        self._promised[session] = n_tokens + 1
        return True

    def _is_here(self, shared: SharedContext) -> bool:
        return self._shared is not None and shared is self._shared

    def close(self) -> None:
        """Free the context; every text in it must be closed before."""
        if self._shared is not None:
            self._shared.context.close()
            self._shared = None
