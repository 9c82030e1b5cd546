"""What was used last is kept, up to a size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, of which the least recently used go first.

    Several threads may share one.

    Args:
        max_size: of all together; a value that is larger alone is not kept.
        size_of: of a key and its value.

    Examples:
        >>> counts = Recent[str, int](10, lambda text, count: len(text))
        >>> counts.put("four", 1)
        >>> counts.put("eleven", 2)
        >>> counts.put("six", 1)
        >>> counts.get("four") is None, counts.get("six")
        (True, 1)
    """

    def __init__(self, max_size: int, size_of: Callable[[K, V], int]) -> None:
        self._max_size = max_size
        self._size_of = size_of
        self._size = 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value, which is the most recently used from now on; None where there is none."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, in place of the one that the key had."""
        size = self._size_of(key, value)
        with self._lock:
            if key in self._values:
                self._size -= self._size_of(key, self._values.pop(key))
            if size > self._max_size:
                return
            self._values[key] = value
            self._size += size
            while self._size > self._max_size:
                self._size -= self._size_of(*self._values.popitem(last=False))
