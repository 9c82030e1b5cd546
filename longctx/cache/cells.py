"""The tokens of one sequence in a KV cache, and where each of them stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native import CacheFullError, Part, Sampler
from longctx.backends import Backend
from longctx.cache.cell_positions import CellPositions
from longctx.cache.checkpoints import Checkpoints
from longctx.cache.growing import GrowingArray
from longctx.cache.shared import Contexts, Lease, SharedContext
from longctx.rope import RopeConfig

Ids = Sequence[int] | NDArray[np.int32]
Outputs = Literal["none", "last", "all"]


class Cells:
    """What stands in the cache, kept true through every change, failure and Ctrl-C.

    llama.cpp keeps no token ids and does not know that keys were moved, so this is the record of
    both. A token's cell has its index for a position (``cell_positions`` says where another), which
    drives nothing but the causal mask and the sliding windows; what a layer without such a window
    sees is where the key was rotated to. After every method, and after every error in one,
    ``tokens`` is what the sequence holds, ``positions`` where their keys stand (they never fall
    from one token to the next, several may share one, and the last ones are those of their cells),
    and ``rope`` is what they were rotated under.

    Args:
        backend: the model.
        contexts: where the sequence finds a cache, and another one when it must move.
        n_ctx: tokens that it may hold.
        rope: the positional encoding.
        lease: a sequence to stand in; None takes one from ``contexts``.
    """

    def __init__(
        self,
        backend: Backend,
        contexts: Contexts,
        *,
        n_ctx: int,
        rope: RopeConfig,
        lease: Lease | None = None,
    ) -> None:
        self._backend = backend
        self._contexts = contexts
        self.n_ctx = n_ctx
        self.rope = rope
        self.tokens: list[int] = []
        self._positions = GrowingArray(np.empty(0, np.int32))
        self.cell_positions = CellPositions()
        self.checkpoints = Checkpoints(backend.info)
        self._lease = lease or contexts.lease(n_ctx, rope)

    @property
    def n_batch(self) -> int:
        """Tokens that one :meth:`decode` takes at most."""
        return self._lease.context.n_batch

    @property
    def n_cells(self) -> int:
        """Tokens that it may hold where it stands: a stream can be smaller than its window."""
        return min(self.n_ctx, self._lease.context.n_ctx)

    @property
    def n_outputs(self) -> int:
        """Tokens of a batch whose logits can be read at once."""
        return self._lease.context.n_outputs

    @property
    def is_open(self) -> bool:
        """Whether it has a cache."""
        return self._lease.is_held

    @property
    def has_logits(self) -> bool:
        """Whether the logits in the context are those of the last token here."""
        return self._lease.has_logits

    @property
    def sequence(self) -> int:
        """Which sequence of :attr:`shared` it is."""
        return self._lease.sequence

    @property
    def shared(self) -> SharedContext:
        """The context that the sequence stands in."""
        return self._lease.shared

    @property
    def is_alone(self) -> bool:
        """Whether no other sequence stands in the context."""
        return not self._lease.shared.is_shared

    @property
    def positions(self) -> NDArray[np.int32]:
        """Where each token stands: int32[n], a view that stays as it is."""
        return self._positions.values

    @property
    def next_position(self) -> int:
        """Where the next token will stand."""
        return self.cell_positions.of(len(self.tokens))

    def close(self) -> None:
        """Free the sequence. Idempotent."""
        self._lease.release()
        self._keep(0)

    # Tokens

    def decode(self, ids: Ids, outputs: Outputs) -> None:
        """Append tokens at the positions that follow.

        Raises:
            BackendError: llama.cpp refuses them; nothing was appended.
        """
        try:
            self._decode(ids, outputs)
        except CacheFullError:
            # A cache of our own has cells for its whole window: full is then a fault to report.
            if not self._lease.shared.may_run_out:
                raise
            self.find_room(len(ids))
            self._decode(ids, outputs)

    def _decode(self, ids: Ids, outputs: Outputs) -> None:
        self._backend.checkpoint()
        self._before_batch(len(ids))
        n, first, lease = len(self.tokens), self.next_position, self._lease
        # The batch overwrites everybody's logits, also where it fails half-way.
        lease.shared.logits_of = {}
        try:
            lease.context.decode(ids, first, seq_id=lease.sequence, outputs=outputs)
            self._note(ids, first)
        except BaseException:
            # Nothing interrupts the model's thread, but a session may be used outside one.
            self._keep(n)
            lease.context.remove(first, seq_id=lease.sequence)
            raise
        if outputs != "none":
            lease.shared.logits_of = {lease.sequence: -1}

    @staticmethod
    def decode_beside(pieces: Sequence[tuple[Cells, Ids, int]]) -> None:
        """Append tokens to each of several sequences of one context, in one batch.

        The logits of the last tokens of each, as many as the number beside them says, can be
        read afterwards.

        Raises:
            CacheFullError: there are too few free cells; nothing was appended.
            BackendError: llama.cpp refuses them; nothing was appended.
        """
        shared = pieces[0][0].shared
        # llama.cpp computes streams at once only if they follow each other in the batch as well.
        pieces = sorted(pieces, key=lambda piece: piece[0].sequence)
        # Where each ends now: what to go back to if the batch fails.
        ends = [(len(cells.tokens), cells.next_position) for cells, *_ in pieces]
        shared.logits_of = {}
        for cells, ids, _ in pieces:
            cells._before_batch(len(ids))
        try:
            rows = shared.context.decode_parts(
                [
                    Part(ids, first, cells.sequence, n_outputs)
                    for (cells, ids, n_outputs), (_, first) in zip(pieces, ends, strict=True)
                ]
            )
            for (cells, ids, _), (_, first) in zip(pieces, ends, strict=True):
                cells._note(ids, first)
        except BaseException:
            # A batch is one for all: what llama.cpp took of some goes with what it did not take.
            for (cells, *_), (n, first) in zip(pieces, ends, strict=True):
                cells._keep(n)
                shared.context.remove(first, seq_id=cells.sequence)
            raise
        shared.logits_of = {
            cells.sequence: row for (cells, *_), row in zip(pieces, rows, strict=True)
        }

    def logits(self, n_rows: int = 1, *, back: int = 0) -> NDArray[np.float32]:
        """float32[n_rows, n_vocab] of the last batch: a view, overwritten by the next.

        A single row is what follows the last token, or the one ``back`` tokens before it.
        """
        return self._lease.context.logits(n_rows, row=self._lease.logits_row - back)

    def sample(
        self, sampler: Sampler, *, back: int = 0, mask: NDArray[np.uint32] | None = None
    ) -> int:
        """Draw the token that follows the last, or the one ``back`` tokens before it."""
        return sampler.sample(self._lease.context, self._lease.logits_row - back, mask=mask)

    def set_threads(self, n_threads: int) -> None:
        """Use another number of threads from the next batch on."""
        self._lease.context.set_threads(n_threads)

    def wait(self) -> None:
        """Come back when the last batch is computed."""
        self._lease.context.wait()

    def cut(self, n: int) -> None:
        """Keep the first ``n`` tokens, or fewer: as many as the cache can be cut to.

        Recurrent layers, and sliding-window layers that have forgotten what the new end needs,
        go back to the last checkpoint before it.
        """
        if n >= len(self.tokens):
            return
        self._lease.forget_logits()
        context, sequence = self._lease.context, self._lease.sequence
        at = self.cell_positions
        if at.shift and n <= at.n_sinks:
            n = 0  # what would come behind the sinks alone stands nearer to them
        # Where layers forget, they are asked before, for a sliding cache that lost all its cells
        # has no first one to tell of.
        reaches = n and self.checkpoints.reaches_back(context, sequence, at.of(n))
        if not (reaches and context.remove(at.of(n), seq_id=sequence)):
            n = self.checkpoints.restore(context, sequence, n, at)
        self._keep(n)

    # The record

    def _before_batch(self, n_batch: int) -> None:
        """Let a checkpoint be kept of what stands here, where somebody may come back to it."""
        lease = self._lease
        self.checkpoints.before(lease.context, lease.sequence, len(self.tokens), n_batch)

    def _note(self, ids: Ids, first: int) -> None:
        """Remember tokens that llama.cpp has decoded."""
        if len(ids) == 1:  # each of an answer's tokens
            self.tokens.append(int(ids[0]))
            self._positions.append(first)
            self._lease.fill_cells(1)
            return
        added = np.arange(first, first + len(ids), dtype=np.int32)
        self._add([int(token) for token in ids], added)

    def _add(self, tokens: list[int], positions: NDArray[np.int32]) -> None:
        """Remember tokens that stand behind the others now."""
        self.tokens.extend(tokens)
        self._positions.extend(positions)
        self._lease.fill_cells(len(tokens))

    def _keep(self, n: int) -> None:
        """Forget all tokens but the first ``n``."""
        del self.tokens[n:]
        self._positions.keep(n)
        self.checkpoints.keep(n)
        if not n:
            self.cell_positions = CellPositions()
        if self._lease.is_held:
            self._lease.keep_cells(n)

    # The state

    def export(self) -> NDArray[np.uint8]:
        """The state of the sequence: uint8[n]."""
        return self._lease.context.get_state(self._lease.sequence)

    def fill(
        self, state: NDArray[np.uint8], tokens: list[int], positions: NDArray[np.int32]
    ) -> None:
        """Put a state in the empty sequence: these tokens, there.

        Raises:
            CacheFullError: others have filled the cells; the sequence is empty.
            BackendError: llama.cpp refuses it; the sequence is empty.
        """
        self._find_cells_for(len(tokens))
        self._lease.forget_logits()
        self._lease.context.set_state(state, self._lease.sequence)
        self._add(tokens, positions)

    @property
    def can_append(self) -> bool:
        """Whether :meth:`append` has a way: cells that two sequences share."""
        context = self._lease.context
        return context.is_unified and context.n_sequences > 1

    def append(
        self, state: NDArray[np.uint8], tokens: list[int], positions: NDArray[np.int32]
    ) -> None:
        """Put a state behind what is here: these tokens, there.

        llama.cpp puts a state in place of a whole sequence, never behind one. So it goes into a
        sequence beside, whose cells this one then takes as well; none is copied.

        Raises:
            CacheFullError: others have filled the cells, or have all sequences; nothing was
                appended.
            BackendError: llama.cpp refuses it; nothing was appended.
        """
        full, n = self._lease.shared, len(tokens)
        self._find_cells(
            len(self.tokens) + n,
            lambda: full.n_free_sequences > 0 and full.has_free_cells(n),
        )
        lease = self._lease
        if not lease.shared.n_free_sequences:  # it moved to where it took the last one
            raise CacheFullError(
                f"{lease.shared.context.n_sequences} texts stand in this cache, and one more must "
                "for a moment; try again when one has ended"
            )
        beside = lease.shared.lease()
        try:
            lease.context.set_state(state, beside.sequence)
            lease.context.copy_sequence(beside.sequence, lease.sequence)
            lease.forget_logits()
            self._add(tokens, positions)
        finally:
            beside.release()

    # The context

    def enter(
        self, n_ctx: int, rope: RopeConfig, backup: NDArray[np.uint8] | None, *, n_tokens: int
    ) -> None:
        """Stand in an empty sequence of this size and RoPE.

        Args:
            n_ctx: cells that it may take.
            rope: the positional encoding.
            backup: the state of what stands here; None gives it up, whatever comes.
            n_tokens: tokens that it will be filled with.

        Raises:
            CacheFullError: others have filled the cells; everything is as it was.
            BackendError: no memory for the new context; what there is a backup of is back, unless
                there is no memory for the old one either: then nothing is left, nor a cache.
        """
        self._lease.forget_logits()
        if self._fits(n_ctx, rope, n_tokens):
            # Before anything is given up: what is freed may not be enough, for other sequences
            # stand in those cells, too.
            self._find_cells_for(n_tokens)
            self._lease.context.remove(0, seq_id=self._lease.sequence)
        else:
            self._exchange(n_ctx, rope, backup, n_tokens)
        self.rope, self.n_ctx = rope, n_ctx
        self._keep(0)

    def _fits(self, n_ctx: int, rope: RopeConfig, n_tokens: int) -> bool:
        """Whether the context that it stands in will do, emptied."""
        shared = self._lease.shared
        if shared.is_common:
            return rope == shared.rope and shared.bears(n_ctx, n_tokens)
        # A fork is not emptied in place: its twins keep those cells, and what comes needs others.
        return (n_ctx, rope) == (self.n_ctx, self.rope) and not shared.may_run_out

    def _exchange(
        self, n_ctx: int, rope: RopeConfig, backup: NDArray[np.uint8] | None, n_tokens: int
    ) -> None:
        # A place among others takes no memory: it is had before the old one is given up.
        place = self._contexts.join(n_ctx, rope, n_tokens)
        # Two caches and a copy between them would be three; the old one goes first.
        self._lease.release()
        if place is not None:
            self._lease = place
            return
        try:
            self._lease = self._contexts.lease(n_ctx, rope)
        except BaseException:
            try:
                self._lease = self._contexts.lease(self.n_ctx, self.rope)
            except BaseException:
                self._keep(0)  # closed, with nothing that could be asked for
                raise
            if backup is None:
                self._keep(0)
            else:
                self._lease.context.set_state(backup, self._lease.sequence)
                self._lease.fill_cells(len(self.tokens))
            raise

    def move(self, lease: Lease) -> None:
        """Stand in another context of the same RoPE, whatever stands here.

        Raises:
            BackendError: there are too few cells; everything is as it was.
        """
        # The new one is filled before the old one is left, so that there is a way back.
        if self.tokens:
            try:
                lease.context.set_state(self.export(), lease.sequence)
            except BaseException:
                lease.release()
                raise
        self._lease.forget_logits()
        self._lease.release()
        self._lease = lease
        self._lease.fill_cells(len(self.tokens))

    def find_room(self, n: int) -> None:
        """Have cells for ``n`` tokens more, here or elsewhere.

        Raises:
            CacheFullError: there are none; everything is as it was.
        """
        shared, sequence = self._lease.shared, self._lease.sequence
        self._find_cells(len(self.tokens) + n, lambda: shared.has_cells_behind(sequence, n))

    def _find_cells_for(self, n_tokens: int) -> None:
        """Have cells for a text of ``n_tokens`` in place of what stands here."""
        shared, sequence = self._lease.shared, self._lease.sequence
        self._find_cells(n_tokens, lambda: shared.has_cells_for(sequence, n_tokens))

    def _find_cells(self, n_tokens: int, are_enough: Callable[[], bool]) -> None:
        """Where others have filled the cells, let them make room, or move.

        Raises:
            CacheFullError: neither can be; everything is as it was.
        """
        shared = self._lease.shared
        if not shared.may_run_out or are_enough():
            return
        place = self._contexts.make_cells(shared, self.n_ctx, n_tokens, are_enough)
        if place is not None:
            self.move(place)

    def fork(self) -> Cells:
        """Copy the sequence: within the context where that can, else into one of its own."""
        lease = self._lease.fork()
        twin = Cells(self._backend, self._contexts, n_ctx=self.n_ctx, rope=self.rope, lease=lease)
        tokens, positions = list(self.tokens), self._positions.copy()
        twin.checkpoints, twin.cell_positions = self.checkpoints.copy(), self.cell_positions
        if lease is not None:
            twin.tokens, twin._positions = tokens, positions
        elif tokens:
            twin.fill(self.export(), tokens, positions.values)
        return twin
