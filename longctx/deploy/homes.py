"""Which replica has read what, and so which one answers best."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

from longctx.deploy.marks import Mark

MAX_MARKS = 200_000
"""Of all prompts together, some 50 MB; the least recently used go. What is forgotten is prefilled
again at worst."""


class Homes:
    """The prompts that replicas have read, by their marks.

    A replica costs what it would have to read, as a share of the prompt, plus the share of its
    places that are taken. So a conversation stays where its cache is while the others have less
    than a whole replica's work less; a prompt that all replicas know, or none, goes where there is
    least to do; and a beginning that many share spreads as it is asked for.

    Args:
        max_marks: that are remembered.
    """

    def __init__(self, max_marks: int = MAX_MARKS) -> None:
        self._max_marks = max_marks
        self._readers: OrderedDict[bytes, frozenset[str]] = OrderedDict()

    def __len__(self) -> int:
        """Marks that are remembered."""
        return len(self._readers)

    def rank(self, marks: Sequence[Mark], taken: Mapping[str, float]) -> list[str]:
        """The replicas, best first.

        Args:
            marks: of the prompt.
            taken: for each replica that there is, the share of its places that are taken.
        """
        known = self._known(marks, taken)
        whole = max((mark.n_chars for mark in marks), default=0) or 1
        first = marks[0].digest if marks else b""

        def cost(replica: str) -> tuple[float, bytes]:
            # Equals are told apart by the prompt, so that several routers agree.
            lot = blake2b(replica.encode(), key=first, digest_size=8).digest()
            return 1 - known.get(replica, 0) / whole + taken[replica], lot

        return sorted(taken, key=cost)

    def remember(self, marks: Sequence[Mark], replica: str, among: Collection[str]) -> None:
        """That replica, one of those that there are, reads this prompt now."""
        for mark in marks:
            readers = self._readers.pop(mark.digest, frozenset())
            self._readers[mark.digest] = readers.intersection(among) | {replica}
        while len(self._readers) > self._max_marks:
            self._readers.popitem(last=False)

    def _known(self, marks: Sequence[Mark], replicas: Mapping[str, float]) -> dict[str, int]:
        """How much of the prompt each has read, in characters."""
        known: dict[str, int] = {}
        for mark in marks:
            for replica in self._readers.get(mark.digest, frozenset()) & replicas.keys():
                known[replica] = max(mark.n_chars, known.get(replica, 0))
        return known
