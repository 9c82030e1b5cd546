"""Remembers the ids that a model wrote, for the turns that follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

Key = tuple[int | None, str]


class FragmentMemory:
    """Texts between two control tokens, with the ids that a model really used for them.

    A model may write tokens that tokenising their text would not give back, and one that
    differs costs the prefill of everything after it. The key is the control token before
    the fragment and the fragment's text. The least recently used go first.
    """

    def __init__(self, max_tokens: int = 1_000_000) -> None:
        self._max_tokens = max_tokens
        self._n_tokens = 0
        self._ids: OrderedDict[Key, tuple[int, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, key: Key, ids: Sequence[int]) -> None:
        """Remember a fragment, and forget the oldest beyond ``max_tokens`` in all."""
        self._n_tokens += len(ids) - len(self._ids.pop(key, ()))
        self._ids[key] = tuple(ids)
        while self._n_tokens > self._max_tokens:
            self._n_tokens -= len(self._ids.popitem(last=False)[1])

    def get(self, key: Key) -> tuple[int, ...] | None:
        """Return the ids of a fragment, or None."""
        ids = self._ids.get(key)
        if ids is not None:
            self._ids.move_to_end(key)
        return ids
