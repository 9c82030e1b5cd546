"""Tables of HTML as rows of cells: empty cells keep their columns, spans are written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

# A span repeats its text, so that each row can be read by itself; hostile ones are bounded.
_MAX_COLUMNS = 1000
_MAX_REPEATED_CHARS = 200
_SECTIONS = frozenset({"thead", "tbody", "tfoot"})


def children(node: LexborNode) -> Iterator[LexborNode]:
    """The nodes right below one."""
    child = node.child
    while child is not None:
        yield child
        child = child.next


def is_layout(table: LexborNode) -> bool:
    """Whether it arranges a page, and holds no rows of values."""
    if table.attributes.get("role") in ("presentation", "none"):
        return True
    return table.css_first("table table, h1, h2, h3, h4, h5, h6, pre, form") is not None


def rows_of(
    table: LexborNode, text_of: Callable[[LexborNode], str]
) -> tuple[Iterator[list[str]], int]:
    """The rows of a table that is no layout, and how many at its front are its header.

    Args:
        table: the element.
        text_of: the visible text of a cell.
    """
    rows = list(_rows(table))
    header = 0
    for row in rows:
        if row.parent is None or not (
            row.parent.tag == "thead" or all(cell.tag == "th" for cell in _cells(row))
        ):
            break
        header += 1
    # Without <th>, the first row is what a reader takes for one.
    return _expanded(rows, text_of), header if 0 < header < len(rows) else 1


def _rows(table: LexborNode) -> Iterator[LexborNode]:
    for child in children(table):
        if child.tag in _SECTIONS:
            yield from (row for row in children(child) if row.tag == "tr")
        elif child.tag == "tr":
            yield child


def _cells(row: LexborNode) -> Iterator[LexborNode]:
    return (cell for cell in children(row) if cell.tag in ("td", "th"))


def _expanded(rows: list[LexborNode], text_of: Callable[[LexborNode], str]) -> Iterator[list[str]]:
    # Column → the text that a cell further up spans into it, and for how many rows more.
    spanned: dict[int, tuple[str, int]] = {}
    for row in rows:
        line: list[str] = []
        below: dict[int, tuple[str, int]] = {}

        def take_spanned(line: list[str] = line, below: dict[int, tuple[str, int]] = below) -> None:
            while (column := len(line)) in spanned:
                text, left = spanned.pop(column)
                line.append(text)
                if left > 1:
                    below[column] = (text, left - 1)

        for cell in _cells(row):
            take_spanned()
            text = text_of(cell)
            again = text if len(text) <= _MAX_REPEATED_CHARS else ""
            n_rows = _span(cell, "rowspan")
            for i in range(_span(cell, "colspan")):
                if len(line) >= _MAX_COLUMNS:
                    break
                if n_rows > 1:
                    below[len(line)] = (again, n_rows - 1)
                line.append(again if i else text)
        take_spanned()
        # Those to the right of a gap go on, too.
        below |= {column: (text, left - 1) for column, (text, left) in spanned.items() if left > 1}
        spanned.clear()
        spanned.update(below)
        yield line


def _span(cell: LexborNode, name: str) -> int:
    value = cell.attributes.get(name) or "1"
    if not value.strip().isdecimal() or len(value) > 6:
        return 1
    n = int(value)
    # rowspan=0 goes on to the end of the table.
    return min(n or (10**6 if name == "rowspan" else 1), 10**6 if name == "rowspan" else 1000)
