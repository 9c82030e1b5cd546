"""Remembers the token ids of fragments: what a model wrote, and what was encoded before."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from longctx.recent import Recent

Key = tuple[int | None, str]
"""A text between two control tokens: the one before it, and the text."""


class FragmentMemory(Recent[Hashable, tuple[int, ...]]):
    """Token ids by what they stand for; the least recently used go first.

    A model may write tokens that tokenising their text would not give back, and one that
    differs costs the prefill of everything after it: its ids are remembered by :data:`Key`.

    Args:
        max_tokens: of all fragments together; an id takes some 40 bytes.
    """

    def __init__(self, max_tokens: int = 1_000_000) -> None:
        super().__init__(max_tokens, lambda _key, ids: len(ids))

    def put(self, key: Hashable, value: Sequence[int]) -> None:
        """Remember a fragment, and forget the oldest beyond ``max_tokens`` in all."""
        super().put(key, tuple(value))
