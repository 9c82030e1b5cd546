"""Tables in text (CSV, TSV): they stay as they are, and their first record is the header."""

from __future__ import annotations

import csv
from dataclasses import replace

from longctx.documents.document import Table
from longctx.documents.reading import plain
from longctx.documents.reading.content import Content, Source

_SAMPLE_CHARS = 4096
_MAX_HEADER_CHARS = 65_536


def read(source: Source) -> Content:
    """The text, with its header marked."""
    content = plain.read(source)
    header_end = _end_of_first_record(content.text)
    if not 0 < header_end < len(content.text.rstrip()):
        return content
    table = Table(start=0, header_end=header_end, end=len(content.text))
    return replace(content, tables=(table,))


def _end_of_first_record(text: str) -> int:
    """Where the second record begins: a quoted cell may hold line ends."""
    lines = text[:_MAX_HEADER_CHARS].splitlines(keepends=True)
    try:
        dialect = csv.Sniffer().sniff(text[:_SAMPLE_CHARS], delimiters=",;\t|")
        reader = csv.reader(lines, dialect)
    except csv.Error:
        reader = csv.reader(lines)
    try:
        next(reader)
    except (csv.Error, StopIteration):
        return 0
    return sum(map(len, lines[: reader.line_num]))
