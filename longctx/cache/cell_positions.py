"""Which positions the cells of a text have, where those behind its sinks keep theirs."""

from __future__ import annotations

from dataclasses import dataclass

FARTHEST = 1 << 16
"""Where a window that slides reads its text again, from position 0 on: llama.cpp computes angles in
float32, whose rounding is by then a hundredth of a radian."""


@dataclass(frozen=True)
class CellPositions:
    """A cell has its token's index for a position, until a text slides whose layers forget.

    Those go on as if nothing had been dropped, so the tokens behind the sinks keep the positions
    that they were computed at.

    Attributes:
        n_sinks: tokens at the front whose cells have their indices.
        shift: how much more the others have.
    """

    n_sinks: int = 0
    shift: int = 0

    def of(self, index: int) -> int:
        """The position of the token at an index."""
        return index + self.shift if index >= self.n_sinks else index

    def slid(self, n_sinks: int, n_discard: int) -> CellPositions:
        """What they are once so many tokens behind the sinks are gone."""
        return CellPositions(n_sinks, self.shift + n_discard)
