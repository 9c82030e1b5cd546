"""How many cells of a KV cache are taken, where sequences have some of them in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count


@dataclass
class _Run:
    """Cells up to a sequence's ``end``-th, that came one after the other; a copy has their id."""

    id: int
    end: int


@dataclass
class _Cells:
    """Those of one sequence, as runs. ``goes_on``: what comes belongs to the last of them."""

    runs: list[_Run] = field(default_factory=list)
    goes_on: bool = False

    def __len__(self) -> int:
        return self.runs[-1].end if self.runs else 0

    def cut(self, n: int) -> None:
        while self.runs and (self.runs[-2].end if len(self.runs) > 1 else 0) >= n:
            self.runs.pop()
            self.goes_on = False
        if self.runs:
            self.runs[-1].end = n

    def n_common(self, other: _Cells) -> int:
        """Cells at the front that both have."""
        n = 0
        for mine, theirs in zip(self.runs, other.runs, strict=False):
            if mine.id != theirs.id:
                break
            n = min(mine.end, theirs.end)
            if mine.end != theirs.end:
                break
        return n


class CellSharing:
    """Counts the cells of one context; llama.cpp does not say how many are taken.

    A copied sequence has the cells of the one that it is a copy of until the two differ, so what
    sequences share is always a common beginning. Each batch asks for these counts: none of them
    looks at single cells.

    Attributes:
        n_used: cells in which some sequence stands; one that several share counts once.
    """

    def __init__(self) -> None:
        self.n_used = 0
        self._of: dict[int, _Cells] = {}
        self._ids = count()

    def n_of(self, sequence: int) -> int:
        """Cells that a sequence has."""
        return len(self._of[sequence]) if sequence in self._of else 0

    def n_shared(self, sequence: int) -> int:
        """Cells at a sequence's front in which another stands, too."""
        own = self._of.get(sequence)
        if own is None or not own.runs:
            return 0
        # Most begin with cells of their own, which is soon seen.
        first = own.runs[0].id
        others = [cells for cells in self._of.values() if cells.runs and cells.runs[0].id == first]
        return max([own.n_common(cells) for cells in others if cells is not own], default=0)

    def n_of_others(self, sequence: int) -> int:
        """Cells in which others than this sequence stand."""
        return self.n_used - (self.n_of(sequence) - self.n_shared(sequence))

    def fill(self, sequence: int, n: int) -> None:
        """Note that a sequence stands in ``n`` cells more, behind those that it has."""
        if not n:
            return
        own = self._of.get(sequence)
        if own is None:
            own = self._of[sequence] = _Cells()
        end = len(own) + n
        if own.goes_on:
            own.runs[-1].end = end
        else:
            own.runs.append(_Run(next(self._ids), end))
            own.goes_on = True
        self.n_used += n

    def keep(self, sequence: int, n: int) -> None:
        """Note that a sequence has left all cells but its first ``n``."""
        own = self._of.get(sequence)
        if own is None or n >= len(own):
            return
        n_shared = self.n_shared(sequence)
        self.n_used -= len(own) - max(n, n_shared)
        own.cut(n)
        if n_shared > n:  # what comes in place of cells that another has are not these cells
            own.goes_on = False

    def copy(self, source: int, target: int) -> None:
        """Note that an empty sequence stands in all cells of another from now on."""
        if source in self._of:
            runs = [_Run(run.id, run.end) for run in self._of[source].runs]
            self._of[target] = _Cells(runs)

    def drop(self, sequence: int) -> None:
        """Note that a sequence has left all its cells."""
        self.keep(sequence, 0)
        self._of.pop(sequence, None)
