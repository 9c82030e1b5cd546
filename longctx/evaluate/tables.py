"""One plain-text table with several columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def format_columns(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells under a title; the first column is flush left, the others flush right."""
    table = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [title]
    for row in table:
        first, *rest = (cell for cell in row)
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
