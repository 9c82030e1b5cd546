"""Drafts: tokens that are foretold, and checked by the model all in one batch.

The model draws a token from each row of the batch, one after the other, as if it stood alone; as
long as it draws what was foretold, the next row is right, and the answer is several tokens further
(speculative decoding, Leviathan et al. 2023, with a lookup in place of a small model). A batch of
more rows takes longer, on some machines as long as the tokens alone: whether drafts pay, and of
what length, is measured on the batches that have to be decoded anyway.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from longctx.engine.lookup import PromptLookup

LENGTHS = (3, 7, 15, 31)
"""Tokens that a draft may have."""
MAX_DRAFT = LENGTHS[-1]
WANTED_LENGTH = 7
"""Of drafts that are not measured, because every answer of the batch asks for them."""
WORTH = 1.05
"""Times as many tokens a second that drafts must promise; below is noise."""


class Foretold:
    """What lookup foretells of one answer, and for how many tokens in a row it has been right.

    Args:
        prompt: token ids.
        is_wanted: whether drafts are: always, never, or (None) where they make it faster.
    """

    def __init__(self, prompt: Sequence[int], is_wanted: bool | None) -> None:
        self.is_wanted = is_wanted
        self.ids: Sequence[int] = ()
        self.streak = 0
        self._prompt = prompt
        self._lookup: PromptLookup | None = None

    def look(self, answer: Sequence[int], limit: int) -> None:
        """Foretell at most ``limit`` tokens that follow the answer so far."""
        self.ids = ()
        if limit < 1 or self.is_wanted is False:
            return
        if self._lookup is None:
            self._lookup = PromptLookup(self._prompt)
        self._lookup.extend(answer[len(self._lookup) - len(self._prompt) :])
        self.ids = self._lookup.foretell(limit)

    def is_right(self, token: int) -> bool:
        """Whether this is the next token that was foretold; the one behind it is next then."""
        if not self.ids:
            return False
        is_right = self.ids[0] == token
        self.streak = self.streak + 1 if is_right else 0
        self.ids = self.ids[1:] if is_right else ()
        return is_right

    def expected(self, length: int) -> float:
        """Tokens that a batch with so long a draft brings, the one that follows it included.

        After s right ones in a row, the next is right with the odds of s + 1 to 1 (Laplace's rule
        of succession), so j more are with a probability of (s + 1) / (s + 1 + j).
        """
        s = self.streak + 1
        return sum(s / (s + j) for j in range(min(length, len(self.ids)) + 1))


@dataclass(frozen=True)
class _Size:
    """A batch of several answers, each with a draft of this length, or what is foretold."""

    length: int
    n_rows: int


class Drafting:
    """Chooses how long drafts are, by what batches of so many rows took.

    Every answer of a batch waits for all of it: drafts are as long as the one that gains least by
    them gains most, and there are none where one would lose. A size that was not tried ``trials``
    times is taken to cost half of what its tokens cost without drafts, so that it is tried where
    much is foretold. After ``hold`` batches everything is asked again, for machines change.
    """

    def __init__(self, *, trials: int = 3, memory: int = 9, hold: int = 512) -> None:
        self._trials, self._hold = trials, hold
        self._times: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=memory))
        self._n_batches = 0

    def length(self, answers: Sequence[Foretold], n_rows: int) -> int:
        """How long the drafts of the next batch may be; 0 is none.

        Args:
            answers: all that get a token in it.
            n_rows: rows that it may have.
        """
        if not any(answer.ids for answer in answers):
            return 0
        n = len(answers)
        sizes = [
            _Size(length, sum(1 + min(length, len(answer.ids)) for answer in answers))
            for length in LENGTHS
        ]
        sizes = [size for size in sizes if n < size.n_rows <= n_rows]
        if not sizes:
            return 0
        if all(answer.is_wanted for answer in answers):
            return max((s.length for s in sizes if s.length <= WANTED_LENGTH), default=0)
        alone = self._seconds(n)
        if alone is None:
            return 0
        fastest, chosen = WORTH / alone, 0
        for size in sizes:
            seconds = self._seconds(size.n_rows) or alone * max(1, size.n_rows / (2 * n))
            speed = min(answer.expected(size.length) for answer in answers) / seconds
            if speed > fastest:
                fastest, chosen = speed, size.length
        return chosen

    def record(self, n_rows: int, seconds: float) -> None:
        """Take note of how long a batch of so many rows took."""
        self._n_batches += 1
        if self._n_batches % self._hold == 0:
            self._times.clear()
        self._times[n_rows].append(seconds)

    def _seconds(self, n_rows: int) -> float | None:
        """The lower quartile: what else the machine does only makes a batch take longer."""
        times = sorted(self._times.get(n_rows, ()))
        return times[len(times) // 4] if len(times) >= self._trials else None
