"""Headings of a Markdown text; the text itself stays as it is written."""

from __future__ import annotations

import re

from longctx.documents.document import Section, Table, sections_of

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")


def markdown_sections(text: str) -> tuple[Section, ...]:
    """Find the sections of a Markdown text (CommonMark 0.31, sections 4.2, 4.3 and 4.5).

    ``# Title`` and underlined titles of one line count; what stands in a fenced code block
    does not. It does not parse further: a heading in a list or a quotation is not seen.

    Examples:
        >>> [s.title for s in markdown_sections("# One\\ntext\\n## Two\\n")]
        ['One', 'Two']
    """
    headings: list[tuple[int, str, int]] = []
    fence = ""
    start = previous_start = 0
    previous = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        heading_line = False
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        elif atx := _ATX.match(line):
            headings.append((len(atx[1]), (atx[2] or "").strip(), start))
            heading_line = True
        elif previous.strip() and (setext := _SETEXT.match(line)):
            level = 1 if setext[1][0] == "=" else 2
            headings.append((level, previous.strip(), previous_start))
            heading_line = True
        # A heading or a fence is no paragraph that an underline could make a title of.
        previous = "" if heading_line or fence or mark else line
        previous_start = start
        start += len(line) + 1
    return sections_of(headings, len(text))


def markdown_tables(text: str) -> tuple[Table, ...]:
    """Find the tables of a Markdown text (GitHub's: a line of dashes and bars below the header)."""
    tables: list[Table] = []
    start = header_end = end = 0
    previous_start, previous = 0, ""
    for line in text.splitlines(keepends=True):
        begin, end = end, end + len(line)
        if header_end and "|" not in line:
            tables.append(Table(start=start, header_end=header_end, end=begin))
            header_end = 0
        elif not header_end and "|" in previous and _is_table_rule(line):
            start, header_end = previous_start, end
        previous_start, previous = begin, line
    if header_end:
        tables.append(Table(start=start, header_end=header_end, end=end))
    return tuple(table for table in tables if table.header_end < table.end)


def _is_table_rule(line: str) -> bool:
    return "-" in line and "|" in line and not line.strip("|:- \t\n")


def first_title(sections: tuple[Section, ...]) -> str | None:
    """The first title of the highest level, if there is any."""
    return min(sections, key=lambda section: section.level).title if sections else None
