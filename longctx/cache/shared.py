"""One KV cache in which several sequences stand."""

from __future__ import annotations

from longctx.backends import KVContext
from longctx.errors import BackendError


class SharedContext:
    """A native context, and which of its sequences are taken.

    In a unified cache llama.cpp keeps a set of sequences with every cell, so that a copied
    sequence costs no memory until the two differ. ``logits_of`` has whose logits are in the
    context, and in which row: they are those of the last batch.
    """

    def __init__(self, context: KVContext) -> None:
        self.context = context
        self.logits_of: dict[object, int] = {}
        self._taken = {0}

    def take(self) -> int | None:
        """Take a free sequence; None where there is none."""
        free = set(range(self.context.n_sequences)) - self._taken
        if not free:
            return None
        sequence = min(free)
        self._taken.add(sequence)
        return sequence

    def release(self, sequence: int) -> None:
        """Drop a sequence; the last one frees the cache."""
        self._taken.remove(sequence)
        if self._taken:
            self.context.remove(0, seq_id=sequence)
        else:
            self.context.close()

    @property
    def is_shared(self) -> bool:
        """Whether more than one sequence stands in it."""
        return len(self._taken) > 1

    @property
    def shares_cells(self) -> bool:
        """Whether one sequence's cells may be another's too."""
        return self.is_shared and self.context.is_unified


class Lease:
    """One sequence of a :class:`SharedContext`, held until :meth:`release`."""

    def __init__(self, shared: SharedContext, sequence: int = 0) -> None:
        self.sequence = sequence
        self._shared: SharedContext | None = shared

    @property
    def is_held(self) -> bool:
        """Whether it has not ended."""
        return self._shared is not None

    @property
    def shared(self) -> SharedContext:
        """The cache.

        Raises:
            BackendError: the lease has ended.
        """
        if self._shared is None:
            raise BackendError("this session is closed")
        return self._shared

    @property
    def context(self) -> KVContext:
        """The native context."""
        return self.shared.context

    def fork(self) -> Lease | None:
        """Take another sequence with the same tokens; None where the cache has none free."""
        sequence = self.shared.take()
        if sequence is None:
            return None
        self.context.copy_sequence(self.sequence, sequence)
        return Lease(self.shared, sequence)

    def release(self) -> None:
        """Give the sequence back. Idempotent."""
        if self._shared is not None:
            self._shared.release(self.sequence)
            self._shared = None
