"""A context of streams, in which short texts stand apart from each other.

Attention on a CPU reads the mask of every cell up to the last one in use, for every row and head,
also where the cell is another text's. With 8,000 cells taken that is half of a small model's time
(docs/engine.md). In a context whose sequences have cells of their own a text sees no others; but
each has as few as the memory is divided by, and shares none of them. So texts that are under way
stand there as long as they are short enough, and among the others, in shared cells, when they grow
and when they are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from longctx._native import trim_memory
from longctx.backends import Backend
from longctx.cache import Session
from longctx.cache.shared import SharedContext
from longctx.engine.common import CommonContexts
from longctx.engine.memory import PoolMemory
from longctx.errors import BackendError
from longctx.model_info import ModelInfo
from longctx.planner import CELLS_APART, N_SEQUENCES

FEWEST_CELLS = 512
"""Of a stream; more are powers of 2, as the number of streams is."""
FEWEST_STREAMS = 2
WORTH_CELLS = 1024
"""Cells of others from which on moving away from them brings more than it takes; more for larger
models (:func:`worth_cells`)."""
MAX_SHARED = 64
"""Tokens at the front whose cells a text may share with others: more of them would be doubled when
it comes back."""


class KVStreams:
    """The context, made for as many texts of such a length as come.

    Args:
        backend: opens the context.
        common: where all other texts stand.
        memory: what the plan has of it.
    """

    def __init__(self, backend: Backend, common: CommonContexts, memory: PoolMemory) -> None:
        self._backend = backend
        self._common = common
        self._memory = memory
        self._worth_cells = max(WORTH_CELLS, worth_cells(backend.info))
        self._shared: SharedContext | None = None
        self._most_cells = common.n_ctx

    @property
    def n_bytes(self) -> int:
        """Memory of the context; 0 while it is not open."""
        shape = self.shape
        return self._memory.cost_bytes(shape[0] * shape[1]) if shape else 0

    @property
    def shape(self) -> tuple[int, int] | None:
        """How many streams there are, and of how many cells; None while it is not open."""
        if self._shared is None:
            return None
        return self._shared.context.n_sequences, self._shared.context.n_ctx

    @property
    def are_taken(self) -> bool:
        """Whether anything stands in a stream."""
        return self._shared is not None and self._shared.is_taken

    def holds(self, session: Session) -> bool:
        """Whether a session stands in one."""
        return session.is_open and session.shared_context is self._shared

    def concern(self, sessions: Iterable[Session]) -> bool:
        """Whether anything stands in a stream, or one of these sessions may gain by standing in
        one; soon said, for it is asked with every batch."""
        if not self._backend.attends_on_cpu:
            return False
        return self.are_taken or any(map(self.frees, sessions))

    def takes(self, session: Session) -> bool:
        """Whether a session in shared cells may leave them for a stream."""
        shared = session.shared_context
        return (
            self._backend.attends_on_cpu
            and shared.is_common
            and shared.cells.n_shared(session.sequence) <= MAX_SHARED
        )

    def frees(self, session: Session) -> bool:
        """Whether there are so many cells of others beside a session that leaving pays."""
        cells, worth = session.shared_context.cells, self._worth_cells
        # Whose they are takes longer to say than how many there are.
        return cells.n_used > worth and cells.n_of_others(session.sequence) > worth

    def bear(self, n_texts: int, n_cells: int) -> bool:
        """Whether so many texts of so many cells may stand in streams, all at once."""
        return self.has(n_texts, n_cells) or self._shape_for(n_texts, n_cells) is not None

    def has(self, n_texts: int, n_cells: int) -> bool:
        """Whether there are so many streams of so many cells, free or not."""
        shape = self.shape
        return shape is not None and n_texts <= shape[0] and n_cells <= shape[1]

    def open(self, n_texts: int, n_cells: int) -> bool:
        """Have streams for so many texts of so many cells in place of those there are; False where
        there is no memory for them, or something stands in one.

        Raises:
            BackendError: llama.cpp cannot allocate the context.
        """
        shape = self._shape_for(n_texts, n_cells)
        if shape is None or self.are_taken:
            return False
        self.close()
        n_streams, n_cells = shape
        try:
            context = self._backend.open(
                n_cells,
                self._common.rope,
                n_outputs=N_SEQUENCES,  # as a common context has: so long may drafts be
                n_sequences=n_streams,
                unified=False,
            )
        except BackendError:
            self._most_cells = n_streams * n_cells - 1  # or every round would ask again
            raise
        self._shared = SharedContext(context, self._common.rope, is_common=True)
        return True

    def _shape_for(self, n_texts: int, n_cells: int) -> tuple[int, int] | None:
        """The streams that hold so many texts; None where memory does not bear them."""
        n_cells = _power_of_2(max(n_cells, FEWEST_CELLS))
        n_streams = _power_of_2(max(n_texts, FEWEST_STREAMS))
        total = n_streams * n_cells
        if total > self._most_cells:
            return None
        n_bytes = self._memory.cost_bytes(total) - self.n_bytes
        # The plan counts on a small context. A larger one must leave memory for what there may be
        # besides, windows of another RoPE and a second common context, in which texts are kept.
        if total <= CELLS_APART:
            has_room = self._memory.has_room(n_bytes)
        else:
            has_room = self._common.is_for_every_window and self._memory.has_spare(n_bytes)
        return (n_streams, n_cells) if has_room else None

    def enter(self, session: Session) -> None:
        """Let a session stand in a free stream.

        Raises:
            BackendError: llama.cpp does not take it; the session is as it was.
        """
        assert self._shared is not None, "streams are reached before one is entered"
        session.move(self._shared)

    def line_up(self, together: Sequence[Session], others: Sequence[Session]) -> None:
        """Let the streams of some sessions follow each other, those of others behind them.

        llama.cpp reads the weights once for neighbours, and once more behind each gap.

        Raises:
            BackendError: llama.cpp does not take one; it is where it was.
        """
        n = len(together)
        low = [session for session in others if session.sequence < n]
        for session in [each for each in together if each.sequence >= n]:
            if self._shared is None or (free := self._shared.first_free) is None:
                return  # all streams are taken; a gap costs less than another context would
            if free >= n:
                if not low:
                    return
                low.pop().move(self._shared)  # its stream is the first that is free now
            session.move(self._shared)

    def close_empty(self) -> None:
        """Free the context if nothing stands in it."""
        if not self.are_taken:
            self.close()

    def close(self) -> None:
        """Free the context; every text in it must be closed before."""
        if self._shared is not None:
            self._shared.context.close()
            self._shared = None
            # Caches of many sizes, one after the other, leave gaps in glibc's heap that add up.
            trim_memory()


def worth_cells(info: ModelInfo) -> int:
    """Cells of others that cost a thirtieth of a token's time on a CPU.

    A cell costs a visit of its mask by each head of each layer, whatever the size of the model, and
    a token the arithmetic of all weights: of one layer, as much as a thousandth of its weights for
    each head takes (measured with the demo model, docs/engine.md).
    """
    return info.layer_weights // (1000 * max(1, info.n_head))


def _power_of_2(n: int) -> int:
    return 1 << (n - 1).bit_length()
