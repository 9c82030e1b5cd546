"""Native contexts in which several sequences stand, and who has which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from longctx.backends import Backend, KVContext
from longctx.cache.cell_sharing import CellSharing
from longctx.errors import BackendError
from longctx.rope import RopeConfig


class SharedContext:
    """A native context, and which of its sequences are taken.

    In a unified cache llama.cpp keeps a set of sequences with every cell, so that a copied
    sequence costs no memory until the two differ; else each sequence has a stream of cells of its
    own. ``logits_of`` has of which sequences the logits are in the context, and in which row: they
    are those of the last batch.

    Args:
        context: the native one.
        rope: the positional encoding of its keys.
        is_common: whether texts of any window come and go in it, to share its cells or its
            streams; else it is the window of one text and its forks.
    """

    def __init__(self, context: KVContext, rope: RopeConfig, *, is_common: bool = False) -> None:
        self.context = context
        self.rope = rope
        self.is_common = is_common
        self.logits_of: dict[int, int] = {}
        self.cells = CellSharing()
        self._taken = {0}
        if is_common:  # nobody stands in it yet; else it was opened for its first text
            self._taken.clear()

    @property
    def has_streams(self) -> bool:
        """Whether each sequence has cells of its own, and shares none."""
        return not self.context.is_unified

    @property
    def n_free_sequences(self) -> int:
        """Sequences that may still be taken."""
        return self.context.n_sequences - len(self._taken)

    @property
    def first_free(self) -> int | None:
        """The sequence that would be taken next; None where there is none."""
        return min(set(range(self.context.n_sequences)) - self._taken, default=None)

    def has_free_cells(self, n: int) -> bool:
        """Whether a sequence that is taken now would find ``n`` cells."""
        n_used = 0 if self.has_streams else self.cells.n_used
        return n_used + n <= self.context.n_ctx

    def has_cells_behind(self, sequence: int, n: int) -> bool:
        """Whether a sequence finds ``n`` cells more."""
        if self.has_streams:
            return self.cells.n_of(sequence) + n <= self.context.n_ctx
        return self.has_free_cells(n)

    def has_cells_for(self, sequence: int, n: int) -> bool:
        """Whether a sequence, emptied, could be filled with ``n`` tokens."""
        n_used = 0 if self.has_streams else self.cells.n_of_others(sequence)
        return n_used + n <= self.context.n_ctx

    @property
    def is_taken(self) -> bool:
        """Whether any sequence stands in it."""
        return bool(self._taken)

    def lease(self) -> Lease:
        """Take a free sequence.

        Raises:
            BackendError: there is none.
        """
        sequence = self.take()
        if sequence is None:
            raise BackendError(f"all {self.context.n_sequences} sequences of this cache are taken")
        return Lease(self, sequence)

    def take(self) -> int | None:
        """Take a free sequence; None where there is none."""
        sequence = self.first_free
        if sequence is not None:
            self._taken.add(sequence)
        return sequence

    def release(self, sequence: int) -> None:
        """Drop a sequence; the last one frees the cache, unless it is a common one."""
        self._taken.remove(sequence)
        self.cells.drop(sequence)
        self.logits_of.pop(sequence, None)
        # The next text of a common context would have to allocate it again.
        if self._taken or self.is_common:
            self.context.remove(0, seq_id=sequence)
        else:
            self.context.close()

    @property
    def is_shared(self) -> bool:
        """Whether more than one sequence stands in it, or may at any moment."""
        return self.is_common or len(self._taken) > 1

    @property
    def may_run_out(self) -> bool:
        """Whether a text may find no cell though its window is not full: others have them, or its
        stream has fewer."""
        return self.is_common or (self.is_shared and not self.has_streams)

    def bears(self, n_ctx: int, n_tokens: int) -> bool:
        """Whether a text of so many tokens may have a window of ``n_ctx`` in this common context:
        one in a stream leaves it when it is longer, whatever its window."""
        return (n_tokens if self.has_streams else n_ctx) <= self.context.n_ctx


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
            raise BackendError("this session is closed; open a new one")
        return self._shared

    @property
    def context(self) -> KVContext:
        """The native context."""
        return self.shared.context

    # Its cells

    def fill_cells(self, n: int) -> None:
        """Note ``n`` cells more, behind those that the sequence has."""
        self.shared.cells.fill(self.sequence, n)

    def keep_cells(self, n: int) -> None:
        """Note that the sequence has left all cells but its first ``n``."""
        self.shared.cells.keep(self.sequence, n)

    def fork(self) -> Lease | None:
        """Take another sequence with the same tokens; None where the cache has none free, or
        streams."""
        shared = self.shared
        # llama.cpp copies a stream when the next batch is decoded, and says at once that it has
        # been: what is read or moved in between is whatever stood there before.
        sequence = None if shared.has_streams else shared.take()
        if sequence is None:
            return None
        self.context.copy_sequence(self.sequence, sequence)
        shared.cells.copy(self.sequence, sequence)
        return Lease(shared, sequence)

    # Its logits

    @property
    def has_logits(self) -> bool:
        """Whether the logits of its last token are in the context."""
        return self.sequence in self.shared.logits_of

    @property
    def logits_row(self) -> int:
        """In which row of the last batch they are."""
        return self.shared.logits_of.get(self.sequence, -1)

    def forget_logits(self) -> None:
        """Note that its last token is another than the one that they follow."""
        self.shared.logits_of.pop(self.sequence, None)

    def release(self) -> None:
        """Give the sequence back. Idempotent."""
        if self._shared is not None:
            self._shared.release(self.sequence)
            self._shared = None


class Contexts(Protocol):
    """Where a text finds a cache of some size and RoPE, and another when others fill that."""

    def lease(self, n_ctx: int, rope: RopeConfig) -> Lease:
        """An empty sequence that may have ``n_ctx`` cells.

        Raises:
            BackendError: llama.cpp cannot allocate it.
        """

    def join(self, n_ctx: int, rope: RopeConfig, n_tokens: int, /) -> Lease | None:
        """Such a sequence beside other texts, with ``n_tokens`` free cells; None where a text of
        this window has a context to itself.

        Raises:
            CacheFullError: others have the cells until they end.
            BackendError: llama.cpp cannot allocate another context for all.
        """

    def make_cells(
        self, full: SharedContext, n_ctx: int, n_tokens: int, are_enough: Callable[[], bool], /
    ) -> Lease | None:
        """Let a text that stands in a full context find cells, there or elsewhere.

        Args:
            full: where it stands, and others too.
            n_ctx: cells that it may have.
            n_tokens: cells that it needs in all.
            are_enough: whether it finds them where it stands by now.

        Returns:
            An empty sequence to move to; None where there are enough now.

        Raises:
            CacheFullError: there is no place for it until others end.
            BackendError: llama.cpp cannot allocate another context.
        """


class OwnContexts:
    """Gives each text a context of its own.

    Args:
        backend: opens contexts.
        n_outputs: tokens of a batch whose logits can be read at once.
    """

    def __init__(self, backend: Backend, n_outputs: int) -> None:
        self._backend = backend
        self._n_outputs = n_outputs

    def lease(self, n_ctx: int, rope: RopeConfig) -> Lease:
        """Open a context."""
        context = self._backend.open(n_ctx, rope, n_outputs=self._n_outputs)
        return Lease(SharedContext(context, rope))

    def join(self, _n_ctx: int, _rope: RopeConfig, _n_tokens: int, /) -> Lease | None:
        """Nowhere."""
        return None

    def make_cells(
        self, full: SharedContext, n_ctx: int, _n_tokens: int, _are_enough: Callable[[], bool], /
    ) -> Lease | None:
        """A context of the text's own, as large as the one that its forks have filled."""
        return self.lease(n_ctx, full.rope)
