"""States kept on the way through a text, for layers that cannot go back to one by themselves.

A recurrent state has forgotten what it was before, and a layer that slides what lies further back
than its window. llama.cpp gives out the state of those layers alone, so some are kept, and a text
that is cut back goes on from the last of them instead of from its first token. Layers that see the
whole window need none: their cells are dropped one by one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.backends import KVContext
from longctx.cache.cell_positions import CellPositions
from longctx.errors import BackendError
from longctx.model_info import ModelInfo
from longctx.planner import CHECKPOINTS, CHECKPOINTS_BYTES

EVERY = 512
"""Tokens between two of a long text."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of some layers behind the first ``n_tokens``: uint8[n], as llama.cpp wrote it."""

    n_tokens: int
    state: NDArray[np.uint8]


class Checkpoints:
    """Some states of one text: close together near its end, and far apart before.

    Args:
        info: the model. Where no layer of it forgets, none are kept.
    """

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self._forgets = info.forgets
        self._n_last_batch = 1
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

    def before(self, context: KVContext, sequence: int, n_tokens: int, n_batch: int) -> None:
        """Before a batch behind ``n_tokens``: keep one where somebody may want to come back to.

        That is where text that is read begins, behind an answer; where it ends, and an answer
        begins that may be asked for again; and now and then in a long one.
        """
        if not self._forgets:
            return
        begins_or_ends = (n_batch > 1) != (self._n_last_batch > 1)
        self._n_last_batch = n_batch
        since = n_tokens - self.last  # 0 where nothing stands yet
        if since and (begins_or_ends or since >= EVERY):
            self.add(n_tokens, context.get_state(sequence, partial=True))

    def reaches_back(self, context: KVContext, sequence: int, position: int) -> bool:
        """Whether sliding-window layers still hold what a token at ``position`` will look at."""
        window = self._info.sliding_window
        # It looks at itself, too.
        return window is None or context.first_position(sequence) <= max(0, position - window + 1)

    def restore(self, context: KVContext, sequence: int, n_tokens: int, at: CellPositions) -> int:
        """Go back to the newest of the first ``n_tokens``, whose cells have positions ``at``.

        Returns:
            How many tokens the sequence holds now; the caller has the others, and prefills them.
        """
        checkpoint = self.at_most(n_tokens)
        if checkpoint is not None:
            with suppress(BackendError):
                context.set_state(checkpoint.state, sequence, partial=True)
                if context.remove(at.of(checkpoint.n_tokens), seq_id=sequence):
                    return checkpoint.n_tokens
        context.remove(0, seq_id=sequence)
        return 0

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
        twin, begin = self.copy(), n_sinks + n_discard
        twin._kept = [
            Checkpoint(each.n_tokens - n_discard, each.state)
            for each in self._kept
            if each.n_tokens > begin
        ]
        return twin

    def copy(self) -> Checkpoints:
        """The same states, of a text that goes on as this one would."""
        twin = Checkpoints(self._info)
        twin._kept, twin._n_last_batch = list(self._kept), self._n_last_batch
        return twin
