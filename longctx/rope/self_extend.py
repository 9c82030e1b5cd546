"""Self-Extend (Jin et al. 2024): frequencies as trained, far positions coarser."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from longctx.errors import PlanError
from longctx.types import Frozen

Groups = tuple[int, ...]
"""How many tokens share a position in each compressed block, oldest block first."""


def grouped_positions(positions: NDArray[np.integer], group: int) -> NDArray[np.int32]:
    """⌊p/g⌋: int32, the shape of ``positions`` (Self-Extend, equation 3).

    Raises:
        PlanError: ``group`` is below 1.
    """
    if group < 1:
        raise PlanError(f"the Self-Extend group is {group}; it is 1 or more")
    return (positions // group).astype(np.int32)


@dataclass(frozen=True)
class Stage:
    """Texts of some lengths, which stand under the same groups.

    Attributes:
        n_tokens: the longest of them.
        groups: of its oldest blocks.
    """

    n_tokens: int
    groups: Groups


class SelfExtendConfig(Frozen):
    """Self-Extend that starts late, works on cached keys, and coarsens text by its age.

    Until a text would pass ``start`` positions nothing happens. Then the oldest block of
    ``block`` tokens not yet compressed shrinks to block/group positions, and all that follows
    moves down. When no whole block is left but the last ``block`` tokens, which stay exact,
    the oldest of the finest blocks is compressed again, to twice its group, and the next ones,
    until block/group positions are free: what is far gets coarser by age, and no token is
    dropped.

    All this follows from the number of tokens alone (:meth:`stage`). A text that came at once,
    by and by, or that was cut back from a longer one stands at the same positions, and each of
    its tokens was computed among the same: else an answer would depend on what was asked before.

    Unlike the paper's two attentions (grouped for far tokens, exact for near ones), a token
    has one position, the same for all that look at it: far ones are grouped because they are
    old.

    Attributes:
        group: g, tokens that share a position once compressed; 2 or more.
        block: w, tokens compressed at a time; g times a power of 2.
        start: positions that the text may fill; at least ``2 * block``.

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
        ratio = self.block // self.group
        if self.block % self.group or ratio < 1 or ratio & (ratio - 1):
            raise PlanError(
                f"a Self-Extend block of {self.block} tokens is not the group {self.group} times "
                "a power of 2, so it cannot be halved again as it ages"
            )
        if self.start < 2 * self.block:
            raise PlanError(
                f"Self-Extend cannot start at {self.start} with blocks of {self.block} tokens; "
                f"raise start to {2 * self.block} or lower block"
            )
        return self

    @property
    def max_tokens(self) -> int:
        """Longest text: blocks at one position each, and up to 2w - 1 exact tokens."""
        return (self.start - 2 * self.block + 3) * self.block - 1

    def end(self, n_tokens: int, groups: Groups) -> int:
        """Position behind the last of ``n_tokens``."""
        return n_tokens - sum(self.block - self.block // group for group in groups)

    def stage(self, n_tokens: int) -> Stage:
        """The groups of a text of ``n_tokens``, and how far it can grow under them.

        Raises:
            PlanError: they are more than :attr:`max_tokens`.
        """
        if n_tokens > self.max_tokens:
            raise PlanError(
                f"{n_tokens} tokens do not fit {self.start} positions in blocks of {self.block}: "
                f"{self.max_tokens} would; plan a larger block or start"
            )
        stages = _stages(self, 1 << n_tokens.bit_length())
        return stages[bisect_left(stages, n_tokens, key=lambda stage: stage.n_tokens)]

    def _next(self, full: Stage) -> Stage:
        """What one token more than a stage holds asks for."""
        blocks, wanted, freed = list(full.groups), self.block // self.group, 0
        while freed < wanted:
            if full.n_tokens + 1 - len(blocks) * self.block >= 2 * self.block:
                blocks.append(self.group)
                freed += self.block - self.block // self.group
            elif (finest := min(blocks)) < self.block:
                blocks[blocks.index(finest)] = 2 * finest
                freed += self.block // finest - self.block // (2 * finest)
            else:
                break
        return Stage(full.n_tokens + freed, tuple(blocks))

    def positions(self, n_tokens: int, groups: Groups) -> NDArray[np.int32]:
        """Where tokens stand, int32[n_tokens]: i mod w of a block over its group, then on.

        Raises:
            ValueError: the groups cover more tokens than there are.
        """
        compressed = len(groups) * self.block
        if compressed > n_tokens:
            raise ValueError(f"{len(groups)} blocks of {self.block} tokens in {n_tokens}")
        within = np.arange(self.block, dtype=np.int32)
        pieces, first = [], 0
        for group in groups:
            pieces.append(first + grouped_positions(within, group))
            first += self.block // group
        pieces.append(np.arange(first, first + n_tokens - compressed, dtype=np.int32))
        return np.concatenate(pieces)


@lru_cache(maxsize=32)
def _stages(config: SelfExtendConfig, n_tokens: int) -> tuple[Stage, ...]:
    """All stages of texts up to ``n_tokens``, or up to the longest there can be."""
    stages = [Stage(config.start, ())]
    while stages[-1].n_tokens < min(n_tokens, config.max_tokens):
        stages.append(config._next(stages[-1]))
    return tuple(stages)
