"""One table with several columns, to be read as text or in a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells under a title; ``notes`` stand below, a line each. ``str()`` lays it out as text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        """The first column flush left, the others flush right."""
        cells = [tuple(self.header), *(tuple(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.header))]
        lines = [self.title]
        for first, *rest in cells:
            others = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            lines.append("  " + "  ".join([first.ljust(widths[0]), *others]).rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])
