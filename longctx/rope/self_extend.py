"""Self-Extend (Jin et al. 2024): frequencies as trained, far positions coarser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from longctx.errors import PlanError
from longctx.types import Frozen


def grouped_positions(positions: NDArray[np.integer], group: int) -> NDArray[np.int32]:
    """⌊p/g⌋: int32, the shape of ``positions`` (Self-Extend, equation 3).

    Raises:
        PlanError: ``group`` is below 1.
    """
    if group < 1:
        raise PlanError(f"the Self-Extend group is {group}; it is 1 or more")
    return (positions // group).astype(np.int32)


class SelfExtendConfig(Frozen):
    """Self-Extend that starts late and works on cached keys.

    Until a text would pass ``start`` positions nothing happens. Then the oldest block of
    ``block`` tokens not yet compressed shrinks to block/group positions, and all that follows
    moves down. Unlike the paper's two attentions (grouped for far tokens, exact for near
    ones), a token has one position, the same for all that look at it: far ones are grouped
    because they are old.

    Attributes:
        group: g, tokens that share a position once compressed; 2 or more.
        block: w, tokens compressed at a time; a multiple of ``group``.
        start: positions that the text may fill; at least ``block``.

    Raises:
        PlanError: numbers that cannot be.
    """

    group: int
    block: int
    start: int

    @model_validator(mode="after")
    def _check(self) -> SelfExtendConfig:
        if self.group < 2:
            raise PlanError(f"the Self-Extend group is {self.group}; it is 2 or more")
        if self.block < self.group or self.block % self.group:
            raise PlanError(
                f"a Self-Extend block of {self.block} tokens is not a multiple of the group "
                f"{self.group}"
            )
        if self.start < self.block:
            raise PlanError(
                f"Self-Extend cannot start at {self.start} with blocks of {self.block} tokens; "
                "raise start or lower block"
            )
        return self

    @property
    def saved(self) -> int:
        """Positions that one compressed block gives back: w - w/g."""
        return self.block - self.block // self.group

    @property
    def max_tokens(self) -> int:
        """Longest text that ends at or below ``start`` at every length on its way there.

        Blocks are compressed whole, so up to w - 1 of the last tokens stay exact.
        """
        per_block = self.block // self.group
        n_blocks = (self.start - self.block + 1) // per_block + 1
        return n_blocks * self.saved + self.start

    def n_blocks(self, n_tokens: int) -> int:
        """Blocks that must be compressed for ``n_tokens`` to end at or below ``start``.

        Raises:
            PlanError: they are more than :attr:`max_tokens`.
        """
        if n_tokens > self.max_tokens:
            raise PlanError(
                f"{n_tokens} tokens do not fit {self.start} positions with {self.group} to a "
                f"position: {self.max_tokens} would; plan a larger group or start"
            )
        return max(0, -(-(n_tokens - self.start) // self.saved))

    def positions(self, indices: NDArray[np.integer], n_blocks: int) -> NDArray[np.int32]:
        """Where tokens stand once the first ``n_blocks`` blocks are compressed.

        Args:
            indices: the tokens' places in the text, from 0.
            n_blocks: blocks compressed so far, as :meth:`n_blocks` counts them.

        Returns:
            int32, the shape of ``indices``: ⌊i/g⌋ in the compressed blocks, i - k·(w - w/g)
            behind them.
        """
        moved = (indices - n_blocks * self.saved).astype(np.int32)
        return np.where(
            indices < n_blocks * self.block, grouped_positions(indices, self.group), moved
        )
