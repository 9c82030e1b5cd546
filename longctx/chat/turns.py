"""Messages as a template is given them: what it reads of them is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, overload


class Reader(Protocol):
    """Is told what is read."""

    def reads(self, index: int) -> None:
        """A message was looked at."""

    def reads_length(self) -> None:
        """It was looked at how many there are."""


class Turns(Sequence[Mapping[str, Any]]):
    """Messages from one on to the last, which tell a reader what is read of them.

    No list: what it does not do as one fails, and the template is then run on the list itself.
    """

    def __init__(self, reader: Reader, messages: Sequence[Mapping[str, Any]], start: int) -> None:
        self._reader = reader
        self._messages = messages
        self.start = start

    def __len__(self) -> int:
        self._reader.reads_length()
        return max(0, len(self._messages) - self.start)

    def __bool__(self) -> bool:
        return self.has(0)

    def has(self, index: int) -> bool:
        """Whether there are more than so many."""
        at = self.start + index
        if at < len(self._messages):
            self._reader.reads(at)
            return True
        self._reader.reads_length()
        return False

    @overload
    def __getitem__(self, index: SupportsIndex) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
            if not self.has(index):
                raise IndexError("list index out of range")
            return self._messages[self.start + index]
        return self._all()[index]

    def _slice(self, index: slice) -> Sequence[Mapping[str, Any]]:
        start = 0 if index.start is None else index.start
        is_open = index.stop is None and index.step in (None, 1)
        if is_open and isinstance(start, int) and start >= 0:
            return Turns(self._reader, self._messages, self.start + start)
        return self._all()[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        at = 0
        while self.has(at):
            yield self._messages[self.start + at]
            at += 1

    def __reversed__(self) -> Iterator[Mapping[str, Any]]:
        yield from reversed(self._all())

    def __contains__(self, item: object) -> bool:
        return item in self._all()

    def __eq__(self, other: object) -> bool:
        return self._all() == (list(other) if isinstance(other, Turns) else other)

    __hash__ = None  # type: ignore[assignment]  # a list has none, either

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> list[Mapping[str, Any]]:
        self._reader.reads_length()
        self._reader.reads(len(self._messages) - 1)
        return list(self._messages[self.start :])


class Indices:
    """``range(start, items | length)``, of which only so much is read as is gone through."""

    def __init__(self, items: Turns, start: int) -> None:
        self._items = items
        self._start = start
        self.start = items.start + start

    def __iter__(self) -> Iterator[int]:
        index = self._start
        while self._items.has(index):
            yield index
            index += 1


def indices(items: Any, start: Any) -> Iterable[int]:
    """``range(start, items | length)``, read as it is gone through where it can be."""
    if not isinstance(items, Turns) or type(start) is not int or start < 0:
        return range(start, len(items))
    return Indices(items, start)
