"""The tokens of one sequence in a KV cache, and where each of them stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native import CacheFullError, Part, Sampler
from longctx.backends import Backend
from longctx.cache.rotation import KeyRotator
from longctx.cache.shared import Contexts, Labels, Lease, OwnContexts, SharedContext
from longctx.cache.state import select_tokens
from longctx.errors import BackendError
from longctx.rope import RopeConfig

Ids = Sequence[int] | NDArray[np.int32]
Outputs = Literal["none", "last", "all"]
_NO_LABELS: Labels = np.empty(0, np.int64)


class Cells:
    """What stands in the cache, kept true through every change, failure and Ctrl-C.

    Knows how tokens come, go, and move to other positions, frequencies or caches; when they
    should is the session's business.

    Args:
        backend: the model.
        rotator: re-rotates cached keys.
        contexts: where the sequence finds a cache, and another one when it must move.
        n_ctx: tokens that it may hold.
        rope: the positional encoding.
        lease: a sequence to stand in; None takes one from ``contexts``.
    """

    def __init__(
        self,
        backend: Backend,
        rotator: KeyRotator,
        contexts: Contexts,
        *,
        n_ctx: int,
        rope: RopeConfig,
        lease: Lease | None = None,
    ) -> None:
        self._backend = backend
        self._rotator = rotator
        self._contexts = contexts
        self.n_ctx = n_ctx
        self.rope = rope
        self.tokens: list[int] = []
        self.positions = np.empty(0, dtype=np.int32)
        self._lease = lease or contexts.lease(n_ctx, rope)

    @property
    def n_batch(self) -> int:
        """Tokens that one :meth:`decode` takes at most."""
        return self._lease.context.n_batch

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
        return self.sequence in self._lease.shared.logits_of

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
            if not self._lease.shared.shares_cells:
                raise
            # Others have filled the cache that this sequence shares with them.
            self._move_out()
            self._decode(ids, outputs)

    def _decode(self, ids: Ids, outputs: Outputs) -> None:
        self._backend.checkpoint()
        n, first, lease = len(self.tokens), self.next_position, self._lease
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
        ends = [(len(cells.tokens), cells.next_position) for cells, *_ in pieces]
        shared.logits_of = {}
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
            for (cells, *_), (n, first) in zip(pieces, ends, strict=True):
                cells._keep(n)
                shared.context.remove(first, seq_id=cells.sequence)
            raise
        shared.logits_of = {
            cells.sequence: row for (cells, *_), row in zip(pieces, rows, strict=True)
        }

    @property
    def next_position(self) -> int:
        """Where the next token will stand."""
        return int(self.positions[-1]) + 1 if self.tokens else 0

    def _note(self, ids: Ids, first: int) -> None:
        """Remember tokens that llama.cpp has decoded."""
        self.tokens.extend(int(token) for token in ids)
        added = np.arange(first, first + len(ids), dtype=np.int32)
        self.positions = np.concatenate([self.positions, added])
        self._add_labels(len(ids))

    def _add_labels(self, n: int) -> None:
        """So many cells more are this sequence's."""
        shared, sequence = self._lease.shared, self._lease.sequence
        labels = shared.labels.get(sequence)
        new = shared.new_labels(n)
        shared.labels[sequence] = new if labels is None else np.concatenate([labels, new])

    def logits(self, n_rows: int = 1, *, back: int = 0) -> NDArray[np.float32]:
        """float32[n_rows, n_vocab] of the last batch: a view, overwritten by the next.

        A single row is what follows the last token, or the one ``back`` tokens before it.
        """
        return self._lease.context.logits(n_rows, row=self._row - back)

    def sample(
        self, sampler: Sampler, *, back: int = 0, mask: NDArray[np.uint32] | None = None
    ) -> int:
        """Draw the token that follows the last, or the one ``back`` tokens before it."""
        return sampler.sample(self._lease.context, self._row - back, mask=mask)

    @property
    def _row(self) -> int:
        return self._lease.shared.logits_of.get(self.sequence, -1)

    def set_threads(self, n_threads: int) -> None:
        """Use another number of threads from the next batch on."""
        self._lease.context.set_threads(n_threads)

    def cut(self, n: int) -> None:
        """Keep the first ``n`` tokens, or fewer: as many as the cache can be cut to.

        Tokens that share a position go together. Recurrent layers, and sliding-window layers
        that have forgotten what the new end needs, leave nothing.
        """
        if n >= len(self.tokens):
            return
        self._forget_logits()
        context, sequence = self._lease.context, self._lease.sequence
        kept = int(np.searchsorted(self.positions, self.positions[n])) if n else 0
        reached = kept and context.remove(int(self.positions[n]), seq_id=sequence)
        if not reached or not self._reaches_back(kept):
            context.remove(0, seq_id=sequence)
            kept = 0
        self._keep(kept)

    def _reaches_back(self, n: int) -> bool:
        """Whether sliding-window layers still hold what token ``n`` will look at."""
        window = self._backend.info.sliding_window
        first = self._lease.context.first_position(self._lease.sequence)
        return window is None or first <= max(0, n - window)

    def _keep(self, n: int) -> None:
        del self.tokens[n:]
        self.positions = self.positions[:n]
        if self._lease.is_held:
            labels = self._lease.shared.labels
            labels[self._lease.sequence] = labels.get(self._lease.sequence, _NO_LABELS)[:n]

    def _forget_logits(self) -> None:
        self._lease.shared.logits_of.pop(self.sequence, None)

    # Places

    def can_rotate_to(self, rope: RopeConfig) -> bool:
        """Whether the cached keys can be re-rotated to another positional encoding."""
        return self._rotator.obstacle(self.rope, rope) is None

    def rearrange(
        self,
        kept: NDArray[np.intp],
        positions: NDArray[np.int32],
        *,
        n_ctx: int | None = None,
        rope: RopeConfig | None = None,
    ) -> str | None:
        """Drop tokens and move the others, without prefilling anything.

        Args:
            kept: indices of the tokens that stay, ascending.
            positions: int32[len(kept)], where they shall stand.
            n_ctx: cells of another context to move to.
            rope: another positional encoding to re-rotate the keys to.

        Returns:
            None; or why the keys of this model cannot be re-rotated: then the tokens are gone, and
            the empty cache is the one asked for.

        Raises:
            BackendError: no memory for the new context; everything is as it was.
        """
        rope, n_ctx = rope or self.rope, n_ctx or self.n_ctx
        tokens, old_rope, old_positions = [self.tokens[i] for i in kept], self.rope, self.positions
        reason = state = None
        moves = not np.array_equal(old_positions[kept], positions)
        if tokens and (moves or rope != old_rope):
            reason = self._rotator.obstacle(old_rope, rope, moves=moves)
        if tokens and reason is None:
            state = self.export()
        stands = not moves and rope == old_rope and len(tokens) == len(old_positions)
        if stands and self._lease.shared.is_common and n_ctx <= self._lease.context.n_ctx:
            self.n_ctx = n_ctx  # only a limit: the cells are there
            return None
        self._enter(n_ctx, rope, state)
        self.rope, self.n_ctx = rope, n_ctx
        self._keep(0)
        if state is not None:
            self._put(state, old_rope, old_positions, kept, positions)
            self._take_note(tokens, positions)
        return reason

    def _take_note(self, tokens: list[int], positions: NDArray[np.int32]) -> None:
        """A state was put into the empty sequence: these tokens, there."""
        self.tokens, self.positions = tokens, positions
        self._add_labels(len(tokens))

    def export(self) -> NDArray[np.uint8]:
        """The state of the sequence: uint8[n]."""
        return self._lease.context.get_state(self._lease.sequence)

    def restore(
        self,
        state: NDArray[np.uint8],
        tokens: list[int],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        positions: NDArray[np.int32],
    ) -> str | None:
        """Fill the empty cache with an exported state, re-rotating its keys if they must be.

        Returns:
            None; or why the keys of this model cannot be re-rotated: then nothing was done.
        """
        moves = not np.array_equal(old_positions, positions)
        if moves or old_rope != self.rope:
            reason = self._rotator.obstacle(old_rope, self.rope, moves=moves)
            if reason is not None:
                return reason
        self._forget_logits()
        self._put(state, old_rope, old_positions, np.arange(len(tokens)), positions)
        self._take_note(list(tokens), positions)
        return None

    def _enter(self, n_ctx: int, rope: RopeConfig, state: NDArray[np.uint8] | None) -> None:
        """Stand in an empty sequence of this size and RoPE; the tokens are in ``state``."""
        self._forget_logits()
        shared = self._lease.shared
        if shared.is_common:
            stays = rope == shared.rope and n_ctx <= shared.context.n_ctx
        else:
            stays = (n_ctx, rope) == (self.n_ctx, self.rope) and not shared.shares_cells
        if stays:
            self._lease.context.remove(0, seq_id=self._lease.sequence)
            return
        # Two caches and a copy between them would be three; the old one goes first.
        self._lease.release()
        try:
            self._lease = self._contexts.lease(n_ctx, rope)
        except BaseException:
            try:
                self._lease = self._contexts.lease(self.n_ctx, self.rope)
            except BaseException:
                self._keep(0)  # closed, with nothing that could be asked for
                raise
            if state is None:
                self._keep(0)
            else:
                self._lease.context.set_state(state, self._lease.sequence)
                self._add_labels(len(self.tokens))
            raise

    def move(self, lease: Lease) -> None:
        """Stand in another context of the same RoPE, whatever stands here.

        Raises:
            BackendError: there are too few cells; everything is as it was.
        """
        if self.tokens:
            try:
                lease.context.set_state(self.export(), lease.sequence)
            except BaseException:
                lease.release()
                raise
        self._forget_logits()
        self._lease.release()
        self._lease = lease
        self._add_labels(len(self.tokens))

    def _move_out(self) -> None:
        """Leave a cache that others have filled, for one of our own."""
        self.move(OwnContexts(self._backend, self.n_outputs).lease(self.n_ctx, self.rope))

    def _put(
        self,
        state: NDArray[np.uint8],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        kept: NDArray[np.intp],
        positions: NDArray[np.int32],
    ) -> None:
        """Fill the empty cache with some of a state's tokens, re-rotated."""
        old_kept = old_positions[kept]
        rotates = self.rope != old_rope or not np.array_equal(old_kept, positions)
        if rotates or len(kept) < len(old_positions):
            state = select_tokens(state, kept)
        if rotates:
            self._rotator.rotate(state, old_rope, self.rope, old_kept, positions)
        try:
            self._lease.context.set_state(state, self._lease.sequence)
        except BackendError:
            if not self._lease.shared.shares_cells:
                raise
            # What was freed is not enough: other sequences stand in those cells, too.
            self._move_out()
            self._lease.context.set_state(state, self._lease.sequence)

    def attach(
        self,
        state: NDArray[np.uint8],
        tokens: list[int],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        *,
        skip: int,
    ) -> str | None:
        """Put an exported state's tokens behind what is here, keys re-rotated to their new places.

        Args:
            state: of tokens that were prefilled elsewhere; its bytes are used up.
            tokens: all of them.
            old_rope: the RoPE of its keys.
            old_positions: int32[n], where they stand in it.
            skip: tokens at its front to leave out.

        Returns:
            None; or why it cannot be done: then nothing was.
        """
        lease = self._lease
        first = self.next_position
        positions = np.arange(first, first + len(tokens) - skip, dtype=np.int32)
        reason = self._rotator.obstacle(old_rope, self.rope, moves=True)
        if reason is not None:
            return reason
        beside = lease.shared.take() if lease.context.is_unified else None
        if beside is None:
            return "its cache cannot hold a second sequence"
        try:
            kept = np.arange(skip, len(tokens))
            state = select_tokens(state, kept)
            self._rotator.rotate(state, old_rope, self.rope, old_positions[kept], positions)
            lease.context.set_state(state, beside)
            lease.context.copy_sequence(beside, lease.sequence)
            self._forget_logits()
            self.tokens += tokens[skip:]
            self.positions = np.concatenate([self.positions, positions])
            self._add_labels(len(positions))
        finally:
            lease.shared.release(beside)
        return None

    def fork(self) -> Cells:
        """Copy the sequence: within the context where that can, else into one of its own."""
        lease = self._lease.fork()
        twin = Cells(
            self._backend, self._rotator, self._contexts,
            n_ctx=self.n_ctx, rope=self.rope, lease=lease,
        )  # fmt: skip
        if lease is not None:
            twin.tokens, twin.positions = list(self.tokens), self.positions.copy()
            shared = lease.shared
            shared.labels[lease.sequence] = shared.labels.get(self._lease.sequence, _NO_LABELS)
        elif self.tokens:
            positions = self.positions.copy()
            twin.restore(self.export(), self.tokens, self.rope, positions, positions)
        return twin
