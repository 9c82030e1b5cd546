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
            # By a quarter, so that on the whole a value is copied four times, however many come.
            room = np.empty(end + max(64, end // 4), self._room.dtype)
            room[:begin] = self.values
            self._room = room
        self._room[begin:end] = values
        self._n = end

    def keep(self, n: int) -> None:
        """Drop all but the first ``n``."""
        if n < self._n:
            self._room, self._n = self._room[:n], n

    def copy(self) -> GrowingArray[T]:
        """The same values, which go on by themselves."""
        return GrowingArray(self.values)
