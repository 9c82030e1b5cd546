"""Excel workbooks: a section and a table a sheet."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from longctx.documents.reading.content import LINE, Content, Source, TextBuilder, counted
from longctx.documents.reading.limits import MAX_CELLS
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.number_formats import NumberFormat, formats_of
from longctx.documents.reading.package import OLE_MAGIC, Package, main_part
from longctx.errors import DocumentError, MissingExtraError

_CELL = re.compile(rb'<(?:\w+:)?c\s[^>]*?\br="([A-Z]{1,3})(\d{1,7})"[^>]*')
_HIDDEN_LINE = re.compile(rb'<(?:\w+:)?(?:row|col)\s[^>]*?\bhidden="(?:1|true)"')
_STYLE = re.compile(rb'\bs="(\d{1,6})"')
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")


def read(source: Source) -> Content:
    """Read the values of a workbook, of formulas what they last gave.

    Numbers stand as the sheet shows them (0.075 in the format ``0.0%`` is 7.5%), dates as
    ``2024-05-09``; in old workbooks (.xls) numbers have no formats. Merged cells repeat their
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
        shown = _Shown(source) if not source.data.startswith(OLE_MAGIC) else None
        workbook = python_calamine.load_workbook(io.BytesIO(source.data))
        return _read(workbook, source, shown)


class _Shown:
    """How the sheets of a workbook show their numbers; refuses sheets that are too large.

    A sheet is laid out from its first cell to its last, whatever lies between.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._package = package = Package(source)
        styles = "xl/styles.xml"
        self._formats = formats_of(package.xml(styles)) if styles in package.names else {}
        for member in filter(_SHEET.fullmatch, package.names):
            self._check_size(member)

    def of_sheet(self, name: str) -> dict[tuple[int, int], NumberFormat]:
        """The formats of a sheet's cells by row and column, from 0."""
        member = self._members().get(name)
        if not self._formats or member not in self._package.names:
            return {}
        found = {}
        for match in _CELL.finditer(self._package.read(member)):
            style = _STYLE.search(match[0])
            number_format = self._formats.get(int(style[1])) if style else None
            if number_format is not None:
                found[int(match[2]) - 1, _column(match[1]) - 1] = number_format
        return found

    def beside(self, name: str) -> tuple[list[str], bool]:
        """The comments on a sheet's cells and the texts of its shapes, and whether some of its rows
        or columns are hidden."""
        member = self._members().get(name)
        if member not in self._package.names:
            return [], False
        comments = [
            f"[comment at {comment.get('ref', '')}: {text}]"
            for part in self._package.parts_of(member, "comments")
            for comment in self._package.xml(part).iter("{*}comment")
            if (text := " ".join("".join(t.text or "" for t in comment.iter("{*}t")).split()))
        ]
        boxes = [
            f"[text box: {text}]"
            for part in self._package.parts_of(member, "drawing")
            for shape in self._package.xml(part).iter("{*}txBody")
            if (text := " ".join(" ".join(t.text or "" for t in shape.iter(f"{_A}t")).split()))
        ]
        return comments + boxes, _HIDDEN_LINE.search(self._package.read(member)) is not None

    def left_out(self) -> Iterator[str]:
        """What the workbook shows that is no cell."""
        for folder, what in (("xl/charts/chart", "chart"), ("xl/media/", "picture")):
            n = sum(member.startswith(folder) for member in self._package.names)
            if n:
                yield f"{counted(n, what)} not read"

    def _members(self) -> dict[str, str]:
        part = main_part(self._package, "xl/workbook.xml")
        related = self._package.related(part)
        sheets = self._package.xml(part).iter("{*}sheet")
        return {s.get("name", ""): related.get(s.get(f"{_R}id", ""), ("", ""))[1] for s in sheets}

    def _check_size(self, member: str) -> None:
        n_columns = n_rows = 1
        for match in _CELL.finditer(self._package.read(member)):
            n_columns, n_rows = max(n_columns, _column(match[1])), max(n_rows, int(match[2]))
        if n_columns * n_rows > MAX_CELLS:
            raise DocumentError(
                f"{self._source.name} has a sheet of {n_rows:,} rows and {n_columns:,} columns, "
                f"more than the {MAX_CELLS:,} cells that are read; export the part you need as CSV"
            )


def _column(letters: bytes) -> int:
    column = 0
    for letter in letters:
        column = 26 * column + letter - 64
    return column


def _read(workbook: Any, source: Source, shown: _Shown | None) -> Content:
    builder = TextBuilder(source.name)
    for metadata in workbook.sheets_metadata:
        if not str(metadata.typ).endswith(".WorkSheet"):
            builder.note(f"the sheet {metadata.name!r} is a chart or a macro, and is not read")
            continue
        sheet = workbook.get_sheet_by_name(metadata.name)
        rows = sheet.to_python(skip_empty_area=False)
        merged = getattr(sheet, "merged_cell_ranges", None) or ()
        table = list(_rows(rows, merged, shown.of_sheet(metadata.name) if shown else {}))
        beside, has_hidden = shown.beside(metadata.name) if shown else ([], False)
        has_values = any(any(row) for row in table)
        if not (has_values or beside):
            continue
        if not str(metadata.visible).endswith(".Visible"):
            builder.note(f"the sheet {metadata.name!r} is hidden")
        builder.block(metadata.name, level=1)
        if has_values:
            builder.table(table)
        for text in beside:
            builder.block(text, gap=LINE)
        if has_hidden:
            builder.note(f"rows or columns of the sheet {metadata.name!r} are hidden, and read")
    if not builder.length:
        raise DocumentError(f"{source.name} is a workbook without any value")
    for note in shown.left_out() if shown else ():
        builder.note(note)
    return builder.content()


def _rows(
    rows: Sequence[Sequence[Any]],
    merged: Sequence[Any],
    formats: Mapping[tuple[int, int], NumberFormat],
) -> Iterator[list[str]]:
    texts = [
        [_text(value, formats.get((r, c))) for c, value in enumerate(row)]
        for r, row in enumerate(rows)
    ]
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


def _text(value: Any, number_format: NumberFormat | None) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float) and number_format is not None:
        shown = number_format.show(value)
        if shown is not None:
            return shown
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date | time | timedelta):
        return str(value)
    return "" if value is None else str(value)
