"""Prompt lookup: what followed the same tokens before may follow again (Saxena 2023).

Answers quote their documents, code is written again with a change, a small model repeats itself:
the tokens written last have stood somewhere before, and so perhaps have those that come.
"""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 3
"""Tokens that must have stood before; two alone often stood elsewhere."""
LONGEST = 8
"""Tokens that are compared, to find the right one of several places."""
MAX_PLACES = 32
"""Places that are compared, the last ones: a table may repeat its frame a thousand times."""


class PromptLookup:
    """A text that finds where its last tokens stood before.

    An index of its n-grams grows with it, as LZ77's hash chains do: each leads to where it stood
    last, and from there to where it stood before that.

    Args:
        ids: the text so far.

    Examples:
        >>> lookup = PromptLookup([1, 2, 3, 4, 5, 9, 1, 2, 3])
        >>> lookup.foretell(2)
        [4, 5]
        >>> lookup.extend([4])
        >>> lookup.foretell(1)
        [5]
    """

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids: list[int] = []
        # By n-gram: where it ended last, as far as something has followed it.
        self._last: dict[tuple[int, ...], int] = {}
        # By where an n-gram ended: where the same one ended before; 0 is nowhere.
        self._before: list[int] = [0] * SHORTEST
        self.extend(ids)

    def __len__(self) -> int:
        """Tokens of the text."""
        return len(self._ids)

    def extend(self, ids: Iterable[int]) -> None:
        """The text goes on with these tokens."""
        begin, last, before = len(self._before), self._last, self._before
        self._ids.extend(ids)
        grams = zip(*(self._ids[begin - SHORTEST + i : -1] for i in range(SHORTEST)), strict=False)
        for end, gram in enumerate(grams, begin):
            before.append(last.get(gram, 0))
            last[gram] = end

    def foretell(self, n_tokens: int) -> list[int]:
        """What followed where most of the last tokens stood before, and last; [] if nowhere.

        A repetition goes on: what followed is followed by itself where the text ends.
        """
        begin = self._place()
        followed = self._ids[begin : begin + n_tokens] if begin else []
        times = -(-n_tokens // len(followed)) if followed else 0
        return (followed * times)[:n_tokens]

    def _place(self) -> int:
        """Where the tokens end that match the last ones best; 0 is nowhere."""
        best, longest = 0, 0
        place = self._last.get(tuple(self._ids[-SHORTEST:]), 0)
        for _ in range(MAX_PLACES):
            if not place or longest == LONGEST:
                break
            matched = self._matched(place)
            if matched > longest:
                best, longest = place, matched
            place = self._before[place]
        return best

    def _matched(self, place: int) -> int:
        """How many tokens before a place are the last ones, LONGEST at most."""
        ids, n = self._ids, SHORTEST
        while n < min(LONGEST, place) and ids[place - n - 1] == ids[-n - 1]:
            n += 1
        return n
