"""Remembers the token ids of fragments: what a model wrote, and what was encoded before."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence

from longctx.recent import Recent

Key = tuple[int | None, str]
"""A text between two control tokens: the one before it, and the text."""


class FragmentMemory:
    """Token ids by what they stand for; the least recently used go first.

    A model may write tokens that tokenising their text would not give back, and one that
    differs costs the prefill of everything after it: its ids are remembered by :data:`Key`.

    Args:
        max_tokens: of all fragments together; an id takes 4 bytes, where a tuple of them takes 40.
    """

    def __init__(self, max_tokens: int = 1_000_000) -> None:
        self._ids: Recent[Hashable, array[int]] = Recent(max_tokens, lambda _key, ids: len(ids))

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, key: Hashable) -> tuple[int, ...] | None:
        """The ids, which are the most recently used from now on; None where there are none."""
        ids = self._ids.get(key)
        return None if ids is None else tuple(ids)

    def put(self, key: Hashable, value: Sequence[int]) -> None:
        """Remember a fragment, and forget the oldest beyond ``max_tokens`` in all."""
        self._ids.put(key, array("i", value))
