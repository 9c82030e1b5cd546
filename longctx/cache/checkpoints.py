"""States kept on the way through a text, for layers that cannot go back to one by themselves.

A recurrent state has forgotten what it was before, and a layer that slides what lies further back
than its window. llama.cpp gives out the state of those layers alone, so some are kept, and a text
that is cut back goes on from the last of them instead of from its first token. Layers that see the
whole window need none: their cells are dropped one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.planner import CHECKPOINTS, CHECKPOINTS_BYTES

EVERY = 512
"""Tokens between two of a long text."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of some layers behind the first ``n_tokens``: uint8[n], as llama.cpp wrote it."""

    n_tokens: int
    state: NDArray[np.uint8]


class Checkpoints:
    """Some states of one text: close together near its end, and far apart before."""

    def __init__(self) -> None:
        self._kept: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def kept(self) -> tuple[Checkpoint, ...]:
        """All of them, the oldest first."""
        return tuple(self._kept)

    @property
    def last(self) -> int:
        """Tokens before the newest; 0 without any."""
        return self._kept[-1].n_tokens if self._kept else 0

    def add(self, n_tokens: int, state: NDArray[np.uint8]) -> None:
        """Keep a state behind all others, and no more of them than memory is planned for."""
        self._kept.append(Checkpoint(n_tokens, state))
        while len(self._kept) > 1 and (
            len(self._kept) > CHECKPOINTS
            or sum(each.state.nbytes for each in self._kept) > CHECKPOINTS_BYTES
        ):
            del self._kept[self._least_missed()]

    def _least_missed(self) -> int:
        """Of those before the newest: where the gap it would leave is small for its age."""
        marks = [0, *(each.n_tokens for each in self._kept)]
        end = marks[-1]
        gaps = [
            (after - before) / (1 + end - mark)
            for before, mark, after in zip(marks, marks[1:], marks[2:], strict=False)
        ]
        return int(np.argmin(gaps))

    def at_most(self, n_tokens: int) -> Checkpoint | None:
        """The newest of the first ``n_tokens``."""
        return next((each for each in reversed(self._kept) if each.n_tokens <= n_tokens), None)

    def keep(self, n_tokens: int) -> None:
        """Drop those behind the first ``n_tokens``."""
        self._kept = [each for each in self._kept if each.n_tokens <= n_tokens]

    def slid(self, n_sinks: int, n_discard: int) -> Checkpoints:
        """Those that are left once tokens behind the sinks are gone, counted without them."""
        twin, begin = Checkpoints(), n_sinks + n_discard
        twin._kept = [
            Checkpoint(each.n_tokens - n_discard, each.state)
            for each in self._kept
            if each.n_tokens > begin
        ]
        return twin

    def copy(self) -> Checkpoints:
        """Another list of the same states."""
        twin = Checkpoints()
        twin._kept = list(self._kept)
        return twin
