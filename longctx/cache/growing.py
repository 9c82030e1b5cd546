"""An array that grows by a token at a time, as a text does."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


class GrowingArray(Generic[T]):
    """Values that are added behind those there are, without copying all of them each time.

    What was added once is never written over, not even where the array was cut and goes on with
    others: whoever has taken :attr:`values` keeps them as they were.

    Args:
        values: what it begins with, T[n]; it is not copied, and nobody may write to it afterwards.
    """

    def __init__(self, values: NDArray[T]) -> None:
        self._room = values
        self._n = len(values)

    def __len__(self) -> int:
        """How many values there are."""
        return self._n

    @property
    def values(self) -> NDArray[T]:
        """T[n], a view."""
        return self._room[: self._n]

    def extend(self, values: NDArray[T]) -> None:
        """Add values, T[m], behind the others."""
        begin, end = self._n, self._n + len(values)
        if end > len(self._room):
            self._make_room(end)
        self._room[begin:end] = values
        self._n = end

    def _make_room(self, n: int) -> None:
        # By a quarter, so that on the whole a value is copied four times, however many come.
        room = np.empty(n + max(64, n // 4), self._room.dtype)
        room[: self._n] = self.values
        self._room = room

    def append(self, value: T | int) -> None:
        """Add a value: of what comes token by token, an array for each would take longer."""
        if self._n == len(self._room):
            self._make_room(self._n + 1)
        self._room[self._n] = value
        self._n += 1

    def keep(self, n: int) -> None:
        """Drop all but the first ``n``."""
        if n < self._n:
            self._room, self._n = self._room[:n], n

    def copy(self) -> GrowingArray[T]:
        """The same values, which go on by themselves."""
        return GrowingArray(self.values)
