"""What a recording holds beside its texts: it grows with the conversation, and not faster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MOST_HELD = 1_000_000
"""Characters of one recording. A template may gather all that was said in a namespace, and each
turn then sets a text of its own that is as long as all before it."""


class HeldValues:
    """Counts values that are held together, each once, however many turns hold it."""

    def __init__(self) -> None:
        self.n_characters = 0
        self._counted: dict[int, Any] = {}  # by id; kept, so that no other gets it

    def take(self, *values: Iterable[Any]) -> bool:
        """Count some more, all or none; whether there is room for them."""
        found: dict[int, Any] = {}
        n = sum(self._size(value, found) for some in values for value in some)
        if self.n_characters + n > MOST_HELD:
            return False
        self.n_characters += n
        self._counted |= found
        return True

    def _size(self, value: Any, found: dict[int, Any]) -> int:
        if id(value) in self._counted or id(value) in found:
            return 1
        found[id(value)] = value
        if isinstance(value, str):
            return len(value)
        if isinstance(value, Mapping):
            return 1 + sum(self._size(k, found) + self._size(v, found) for k, v in value.items())
        if isinstance(value, list | tuple):
            return 1 + sum(self._size(item, found) for item in value)
        return 1
