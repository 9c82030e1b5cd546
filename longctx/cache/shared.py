"""Native contexts in which several sequences stand, and who has which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from longctx.backends import Backend, KVContext
from longctx.cache.growing import GrowingArray
from longctx.errors import BackendError
from longctx.rope import RopeConfig

Labels = GrowingArray[np.int64]
_NO_LABELS = np.empty(0, np.int64)


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
        # llama.cpp does not say how many cells are taken. Every cell that is filled gets a
        # number here, and a copied sequence has the numbers of the one that it is a copy of.
        self.labels: dict[int, Labels] = {}
        self._n_labels = 0
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

    @property
    def n_used_cells(self) -> int:
        """Cells in which some sequence stands; one that several share counts once."""
        return _n_distinct(list(self.labels.values()))

    def has_free_cells(self, n: int) -> bool:
        """Whether a sequence that is taken now would find ``n`` cells."""
        if self.has_streams:
            return n <= self.context.n_ctx
        return _are_within(list(self.labels.values()), self.context.n_ctx - n)

    def has_cells_behind(self, sequence: int, n: int) -> bool:
        """Whether a sequence finds ``n`` cells more."""
        if self.has_streams:
            return len(self.labels.get(sequence, ())) + n <= self.context.n_ctx
        return self.has_free_cells(n)

    def has_cells_for(self, sequence: int, n: int) -> bool:
        """Whether a sequence, emptied, could be filled with ``n`` tokens."""
        if self.has_streams:
            return n <= self.context.n_ctx
        others = [labels for other, labels in self.labels.items() if other != sequence]
        return _are_within(others, self.context.n_ctx - n)

    def n_cells_of_others(self, sequence: int) -> int:
        """Cells that other sequences stand in, those that several share counted for each: as many
        as there are at most, without looking at them."""
        return sum(len(labels) for other, labels in self.labels.items() if other != sequence)

    def has_more_than(self, n: int, sequence: int) -> bool:
        """Whether there are more than ``n`` cells in which others than this sequence stand."""
        others = [labels for other, labels in self.labels.items() if other != sequence]
        return not _are_within(others, n)

    def is_held_by_others(self, sequence: int, index: int) -> bool:
        """Whether other sequences stand in the cell of a sequence's token at ``index``, too."""
        # Cells are shared as a common beginning only, so that they have one index in all of them.
        if self.has_streams or (own := _label(self.labels.get(sequence), index)) is None:
            return False
        others = (labels for other, labels in self.labels.items() if other != sequence)
        return any(_label(labels, index) == own for labels in others)

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
        self.labels.pop(sequence, None)
        self.logits_of.pop(sequence, None)
        # The next text of a common context would have to allocate it again.
        if self._taken or self.is_common:
            self.context.remove(0, seq_id=sequence)
        else:
            self.context.close()

    def fill_cells(self, sequence: int, n: int) -> None:
        """Note that a sequence stands in ``n`` cells more, behind those that it has."""
        self._n_labels += n
        if sequence not in self.labels:
            self.labels[sequence] = GrowingArray(_NO_LABELS)
        self.labels[sequence].extend(np.arange(self._n_labels - n, self._n_labels))

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
        self.shared.fill_cells(self.sequence, n)

    def keep_cells(self, n: int) -> None:
        """Note that the sequence has left all cells but its first ``n``."""
        if labels := self.shared.labels.get(self.sequence):
            labels.keep(n)

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
        if labels := shared.labels.get(self.sequence):
            shared.labels[sequence] = labels.copy()
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


def _label(labels: Labels | None, index: int) -> int | None:
    return labels.values.item(index) if labels is not None and index < len(labels) else None


def _n_distinct(labels: list[Labels]) -> int:
    if len(labels) < 2:
        return sum(map(len, labels))
    return len(np.unique(np.concatenate([each.values for each in labels])))


def _are_within(labels: list[Labels], n: int) -> bool:
    # Counting what is shared sorts everything; mostly there is room even if nothing is.
    return sum(map(len, labels)) <= n or _n_distinct(labels) <= n


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
