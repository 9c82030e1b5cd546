"""Cached tokens at other positions, under another RoPE or in another window, without a prefill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longctx.cache.cell_positions import FARTHEST
from longctx.cache.cells import Cells
from longctx.cache.compress import Choose
from longctx.cache.rotation import KeyRotator
from longctx.cache.state import select_tokens
from longctx.rope import RopeConfig


class Rearranger:
    """Moves the tokens of a sequence, their keys re-rotated.

    llama.cpp can shift positions in place, but reads all keys of a context under one RoPE, and
    takes a sequence to another context only as an exported state. So the sequence is exported,
    its keys are rewritten in that copy, and it is put back.

    Where the keys of a model cannot be re-rotated, that is returned as a text and not raised: it
    is no failure, for the caller has the tokens and prefills them again.

    Args:
        cells: the sequence.
        rotator: re-rotates its keys.
    """

    def __init__(self, cells: Cells, rotator: KeyRotator) -> None:
        self._cells = cells
        self._rotator = rotator

    def can_rotate_to(self, rope: RopeConfig) -> bool:
        """Whether the cached keys can be re-rotated to another positional encoding."""
        return self._rotator.obstacle(self._cells.rope, rope) is None

    def moving_obstacle(self) -> str | None:
        """Why the cached keys cannot be moved to other positions; None if they can."""
        return self._rotator.obstacle(self._cells.rope, self._cells.rope, moves=True)

    def attaching_obstacle(self, old_rope: RopeConfig) -> str | None:
        """Why cells of another text cannot be put behind what is here; None if they can."""
        reason = self._rotator.obstacle(old_rope, self._cells.rope, moves=True, relabels=True)
        if reason is None and not self._cells.can_append:
            reason = "its cache cannot hold a second sequence"
        return reason

    def rearrange(
        self,
        kept: NDArray[np.intp],
        positions: NDArray[np.int32],
        *,
        n_ctx: int | None = None,
        rope: RopeConfig | None = None,
    ) -> str | None:
        """Drop tokens and move the others.

        Layers that forget cannot drop single tokens. Of a text that slides they go on as they are,
        and cells keep their positions; where too little is left for that, or those have become too
        large, the keys are said not to be movable.

        Args:
            kept: indices of the tokens that stay, ascending.
            positions: int32[len(kept)], where they shall stand, the last one at its index.
            n_ctx: cells of another context to move to.
            rope: another positional encoding to re-rotate the keys to.

        Returns:
            None; or why the keys of this model cannot be re-rotated: then the tokens are gone, and
            the empty cache is the one asked for.

        Raises:
            CacheFullError: others have filled the cells; everything is as it was.
            BackendError: no memory for the new context; everything is as it was.
        """
        cells = self._cells
        rope, n_ctx = rope or cells.rope, n_ctx or cells.n_ctx
        old_rope, old_positions = cells.rope, cells.positions
        tokens = [cells.tokens[i] for i in kept]
        # Two things may change: where a key is rotated to, and the position of its cell, which is
        # its token's index. Dropping a token changes those of all cells behind it, unless layers
        # that forget need theirs.
        n_dropped = len(old_positions) - len(kept)
        relabels = n_dropped > 0
        stand, checkpoints = cells.cell_positions, cells.checkpoints.copy()
        if slides := self._can_leave_cells(kept, n_dropped):
            n_sinks = _n_leading(kept)
            stand = stand.slid(n_sinks, n_dropped)
            checkpoints = checkpoints.slid(n_sinks, n_dropped)
            relabels = False
        positions = positions + np.int32(stand.shift)
        moves = not np.array_equal(old_positions[kept], positions)
        rotates = moves or rope != old_rope
        if not rotates and not n_dropped:
            shared = cells.shared
            if shared.is_common and shared.bears(n_ctx, len(tokens)):
                cells.n_ctx = n_ctx  # only a limit: the cells are there
                return None
        reason = None
        if tokens and (rotates or n_dropped):
            reason = self._rotator.obstacle(
                old_rope, rope, moves=moves, relabels=relabels, drops=slides
            )
        state = cells.export() if tokens and reason is None else None
        cells.enter(n_ctx, rope, state, n_tokens=len(tokens))
        if state is not None:
            first = 0 if relabels else None
            state = self._rotated(state, old_rope, old_positions, kept, positions, first=first)
            cells.fill(state, tokens, positions)
            if not relabels:  # checkpoints are of layers that stay as they are
                cells.cell_positions, cells.checkpoints = stand, checkpoints
        return reason

    def _can_leave_cells(self, kept: NDArray[np.intp], n_dropped: int) -> bool:
        """Whether layers that forget go on as if nothing were dropped, and cells stay.

        Not where nothing is left behind the sinks that they could go on from, nor for ever: their
        positions only grow.
        """
        return (
            self._rotator.forgets
            and n_dropped > 0
            and _n_leading(kept) < len(kept)
            and self._cells.next_position <= max(FARTHEST, 2 * self._cells.n_ctx)
        )

    def compress(
        self, choose: Choose, tokens: list[int], positions: NDArray[np.int32]
    ) -> str | None:
        """Let each layer and head keep tokens of its own.

        Args:
            choose: which.
            tokens: what stands in the cells that are left.
            positions: int32[len(tokens)], where those shall stand.

        Returns:
            None; or why the keys of this model cannot be moved: then nothing was done.

        Raises:
            BackendError: no memory; everything is as it was.
        """
        cells, rope = self._cells, self._cells.rope
        reason = self._rotator.obstacle(rope, rope, moves=True)
        if reason is not None:
            return reason
        state = cells.export()
        thinned = self._rotator.thin(state, rope, cells.positions, positions, choose)
        cells.enter(cells.n_ctx, rope, state, n_tokens=len(tokens))
        cells.fill(thinned, tokens, positions)
        return None

    def restore(
        self,
        state: NDArray[np.uint8],
        tokens: list[int],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        positions: NDArray[np.int32],
    ) -> str | None:
        """Fill the empty sequence with an exported state.

        Args:
            state: uint8[n]; its bytes are used up.
            tokens: all that it holds.
            old_rope: the RoPE of its keys.
            old_positions: int32[n], where they stand in it.
            positions: int32[n], where they shall stand.

        Returns:
            None; or why the keys of this model cannot be re-rotated: then nothing was done.
        """
        moves = not np.array_equal(old_positions, positions)
        if moves or old_rope != self._cells.rope:
            reason = self._rotator.obstacle(old_rope, self._cells.rope, moves=moves)
            if reason is not None:
                return reason
        everything = np.arange(len(tokens))
        state = self._rotated(state, old_rope, old_positions, everything, positions)
        self._cells.fill(state, tokens, positions)
        return None

    def attach(
        self,
        state: NDArray[np.uint8],
        tokens: list[int],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        *,
        skip: int,
    ) -> str | None:
        """Put an exported state's tokens behind what is here.

        Args:
            state: of tokens that were prefilled elsewhere; its bytes are used up.
            tokens: all of them.
            old_rope: the RoPE of its keys.
            old_positions: int32[n], where they stand in it.
            skip: tokens at its front to leave out.

        Returns:
            None; or why it cannot be done: then nothing was.
        """
        cells = self._cells
        reason = self.attaching_obstacle(old_rope)
        if reason is not None:
            return reason
        first = cells.next_position
        positions = np.arange(first, first + len(tokens) - skip, dtype=np.int32)
        kept = np.arange(skip, len(tokens))
        state = self._rotated(state, old_rope, old_positions, kept, positions, first=first)
        cells.append(state, tokens[skip:], positions)
        return None

    def _rotated(
        self,
        state: NDArray[np.uint8],
        old_rope: RopeConfig,
        old_positions: NDArray[np.int32],
        kept: NDArray[np.intp],
        positions: NDArray[np.int32],
        *,
        first: int | None = None,
    ) -> NDArray[np.uint8]:
        """Some of a state's tokens, rotated to where they shall stand under the RoPE here.

        The cell of the first gets ``first`` for a position, and so on; with None all keep theirs.
        """
        rope, old_kept = self._cells.rope, old_positions[kept]
        moves = rope != old_rope or not np.array_equal(old_kept, positions)
        rotates = moves and self._rotator.turns
        # A state that goes back as it was is not parsed: a recurrent one has a layout of its own.
        if self._rotator.has_keys and (rotates or len(kept) < len(old_positions)):
            state = select_tokens(state, kept, self._rotator.shape)
        if rotates:
            self._rotator.rotate(state, old_rope, rope, old_kept, positions, first=first)
        return state


def _n_leading(kept: NDArray[np.intp]) -> int:
    """How many of the first tokens are kept before the first that is not."""
    moved = np.flatnonzero(kept != np.arange(len(kept)))
    return int(moved[0]) if len(moved) else len(kept)
