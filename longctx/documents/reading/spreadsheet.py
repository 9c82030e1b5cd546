"""Excel workbooks: a section and a table a sheet."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from longctx.documents.reading.content import Content, Source, TextBuilder
from longctx.documents.reading.limits import MAX_CELLS
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.package import OLE_MAGIC, Package
from longctx.errors import DocumentError, MissingExtraError

_CELL = re.compile(rb'<(?:\w+:)?c\s[^>]*?\br="([A-Z]{1,3})(\d{1,7})"')
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")


def read(source: Source) -> Content:
    """Read the values of a workbook, of formulas what they last gave.

    Numbers are those of the cells, without their formats: 5 % is 0.05. Merged cells repeat their
    value, so that each row can be read by itself. Hidden sheets are read, and said to be hidden.

    Raises:
        DocumentError: it is encrypted, malformed, empty, or too large.
        MissingExtraError: python-calamine is not installed.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise MissingExtraError(
            'to read Excel run `pip install "longctx-sdk[rag]"` (it needs python-calamine)'
        ) from error
    remedy = "open it and save it again, or export it as CSV"
    with malformed(source, "a malformed Excel file", remedy):
        if not source.data.startswith(OLE_MAGIC):
            _check_cells(source)
        workbook = python_calamine.load_workbook(io.BytesIO(source.data))
        return _read(workbook, source)


def _check_cells(source: Source) -> None:
    """A sheet is laid out from its first cell to its last, whatever lies between."""
    package = Package(source)
    for member in filter(_SHEET.fullmatch, package.names):
        n_columns = n_rows = 1
        for letters, digits in _CELL.findall(package.read(member)):
            column = 0
            for letter in letters:
                column = 26 * column + letter - 64
            n_columns, n_rows = max(n_columns, column), max(n_rows, int(digits))
        if n_columns * n_rows > MAX_CELLS:
            raise DocumentError(
                f"{source.name} has a sheet of {n_rows:,} rows and {n_columns:,} columns, more "
                f"than the {MAX_CELLS:,} cells that are read; export the part you need as CSV"
            )


def _read(workbook: Any, source: Source) -> Content:
    builder = TextBuilder(source.name)
    for metadata in workbook.sheets_metadata:
        if not str(metadata.typ).endswith(".WorkSheet"):
            builder.note(f"the sheet {metadata.name!r} is a chart or a macro, and is not read")
            continue
        sheet = workbook.get_sheet_by_name(metadata.name)
        rows = sheet.to_python(skip_empty_area=False)
        merged = getattr(sheet, "merged_cell_ranges", None) or ()
        table = list(_rows(rows, merged))
        if not any(any(row) for row in table):
            continue
        if not str(metadata.visible).endswith(".Visible"):
            builder.note(f"the sheet {metadata.name!r} is hidden")
        builder.block(metadata.name, level=1)
        builder.table(table)
    if not builder.length:
        raise DocumentError(f"{source.name} is a workbook without any value")
    return builder.content()


def _rows(rows: Sequence[Sequence[Any]], merged: Sequence[Any]) -> Iterator[list[str]]:
    texts = [[_text(value) for value in row] for row in rows]
    for (top, left), (bottom, right) in merged:
        if top >= len(texts) or left >= len(texts[top]):
            continue
        value = texts[top][left]
        for line in texts[top : bottom + 1]:
            for column in range(left, min(right + 1, len(line))):
                line[column] = line[column] or value
    width = max((i for row in texts for i, text in enumerate(row, start=1) if text), default=0)
    empty = min((i for row in texts for i, text in enumerate(row) if text), default=0)
    return (row[empty:width] for row in texts)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date | time | timedelta):
        return str(value)
    return "" if value is None else str(value)
