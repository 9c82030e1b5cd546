"""A PDF page's text with its tables as rows, and marks around what no reader sees.

It needs the standard library alone: :mod:`pdf_pages` uses it in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from longctx.documents.reading.pdf_tables import Found

HIDDEN = "[not visible: "
_LINE = re.compile(r".*\r?\n?")


def laid_out(
    text: str, tables: Sequence[Found], hidden: Sequence[int], index: Callable[[int], int]
) -> tuple[list[Any], int]:
    """Part a page's text from its tables.

    Args:
        text: of the page.
        tables: whose words are taken out of it.
        hidden: characters that are not seen.
        index: from a character's number to its place in the text; -1 if it has none.

    Returns:
        Texts, and tables as ``[rows, header rows]``, in their order; how many places are marked.
    """
    table_at: dict[int, int] = {}
    for number, table in enumerate(tables):
        for word in table.words:
            for i in range(word.first, word.last + 1):
                table_at[index(i)] = number
    marks, n_hidden = _marks(text, sorted({index(i) for i in hidden}))
    parts: list[Any] = [""]
    placed: set[int] = set()
    for match in _LINE.finditer(text):
        here = range(match.start(), match.end())
        of_tables = dict.fromkeys(table_at[i] for i in here if i in table_at)
        kept = "".join("".join((*marks.get(i, ()), "" if i in table_at else text[i])) for i in here)
        parts[-1] += kept if kept.strip() or not of_tables else ""
        for number in of_tables:
            if number not in placed:
                placed.add(number)
                parts += [[tables[number].rows, tables[number].header_rows], ""]
    parts[-1] += "".join(marks.get(len(text), ()))
    return [part for part in parts if not isinstance(part, str) or part.strip()], n_hidden


def _marks(text: str, hidden: Sequence[int]) -> tuple[dict[int, list[str]], int]:
    """What stands before which character: runs that only white space parts are one."""
    marks: dict[int, list[str]] = {}
    runs: list[list[int]] = []
    for i in hidden:
        if i < 0:
            continue
        if runs and not text[runs[-1][1] + 1 : i].strip():
            runs[-1][1] = i
        else:
            runs.append([i, i])
    for first, last in runs:
        marks.setdefault(first, []).append(HIDDEN)
        marks.setdefault(last + 1, []).insert(0, "]")
    return marks, len(runs)
