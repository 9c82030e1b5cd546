"""Text that comes in pieces, read by generators as if all of it were there."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Wait: TypeAlias = Generator[None, None, T]
"""Yields whenever it needs more text; its value comes with ``yield from``."""

_SPACE = re.compile(r"\s*")
_BREAKS = re.compile(r"\s+|(?<=[>\]])(?=\[)|(?<=>)(?=<)|(?<=\])(?=</|```)")


def parts_of(mark: str) -> list[str]:
    """A mark, cut where models write more or less white space: also between tags and lists."""
    return [part for part in _BREAKS.split(mark) if part]


def shared_start(a: str, b: str) -> str:
    """What two texts begin with."""
    pairs = enumerate(zip(a, b, strict=False))
    return a[: next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))]


class Feed:
    """What was written so far, and how far it was read.

    Each read waits (yields) while the text at hand could still become what it looks for, and no
    longer: a reader shows what cannot be the beginning of a mark at once.
    """

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.held = ""
        self.has_ended = False

    def peek(self, n: int) -> Wait[str]:
        """The next ``n`` characters, fewer at the end; they are not taken."""
        while len(self.text) - self.at < n and not self.has_ended:
            yield
        return self.text[self.at : self.at + n]

    def skip_space(self) -> Wait[None]:
        """Pass over white space."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.has_ended:
                return
            yield

    def accept(self, mark: str) -> Wait[bool]:
        """Take a mark if it stands here; else take nothing.

        White space before and inside it may be more or less than the mark has. An empty mark
        stands everywhere.
        """
        before = self.at
        for part in parts_of(mark):
            yield from self.skip_space()
            while (here := self.text[self.at : self.at + len(part)]) != part:
                if self.has_ended or not part.startswith(here):
                    self.at = before
                    return False
                yield
            self.at += len(part)
        return True

    def stands(self, mark: str) -> Wait[bool]:
        """Whether a mark stands here; nothing is taken."""
        before = self.at
        found = yield from self.accept(mark)
        self.at = before
        return found

    def until(
        self, marks: Sequence[str], tell: Callable[[str], None], *, hold_space: bool = False
    ) -> Wait[str | None]:
        """Tell the text up to the first mark, as it comes; the mark is not taken.

        Args:
            marks: none empty.
            tell: gets each piece that cannot be the beginning of a mark.
            hold_space: keep white space back until it is known what follows; what stands before
                a mark or the end is left untold, in :attr:`held`.

        Returns:
            The mark; None is the end of the text.
        """
        while True:
            found = [(i, mark) for mark in marks if (i := self.text.find(mark, self.at)) >= 0]
            if found:
                # Of two at one place the longer: "[TOOL_CALLS][" before "[TOOL_CALLS]".
                end, mark = min(found, key=lambda pair: (pair[0], -len(pair[1])))
                if not self.has_ended and self._may_be_longer(end, mark, marks):
                    self.at = self._tell(end, tell, hold_space)
                    yield
                    continue
                self._tell(end, tell, hold_space)
                self.at = end
                return mark
            if self.has_ended:
                self._tell(len(self.text), tell, hold_space)
                self.at = len(self.text)
                return None
            self.at = self._tell(self._sure(marks), tell, hold_space)
            yield

    def _may_be_longer(self, at: int, mark: str, marks: Sequence[str]) -> bool:
        """Whether all that is written from a mark on may still become a longer one."""
        rest = self.text[at:]
        return any(len(other) > len(mark) and other.startswith(rest) for other in marks)

    def _sure(self, marks: Sequence[str]) -> int:
        """Where the first tail that a mark may begin with stands."""
        n = min(max((len(mark) for mark in marks), default=1) - 1, len(self.text) - self.at)
        for start in range(len(self.text) - n, len(self.text)):
            tail = self.text[start:]
            if any(mark.startswith(tail) for mark in marks):
                return start
        return len(self.text)

    def _tell(self, end: int, tell: Callable[[str], None], hold_space: bool) -> int:
        whole = self.text[self.at : end]
        piece = whole.rstrip() if hold_space else whole
        self.held = whole[len(piece) :]
        if piece:
            tell(piece)
        return self.at + len(piece)
