"""The body of a Word document: paragraphs, tables, and what hangs on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from longctx.documents.reading.content import Content, TextBuilder
from longctx.documents.reading.equations import M, equation_text
from longctx.documents.reading.invisible import CLOSE, OPEN
from longctx.documents.reading.word_faint import is_faint
from longctx.documents.reading.word_numbering import Numbering
from longctx.documents.reading.word_styles import Styles, W, is_on
from longctx.documents.reading.word_symbols import field_text, symbol_text

R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/picture}pic"
# What a text box repeats for older readers, pronunciation above words, markup without text.
_SKIPPED = frozenset({_FALLBACK, f"{W}rt", f"{W}rubyPr", f"{W}pPr", f"{W}sectPr", f"{W}tblPr"})
_DELETED = frozenset({f"{W}del", f"{W}moveFrom"})
_LEFT_OUT = {_CHART: "chart", _DIAGRAM: "chart", _PICTURE: "picture", f"{W}pict": "",
             f"{W}object": "embedded"}  # fmt: skip
# No XML holds a form feed, so that one in the text can stand for a page break.
_PAGE = "\f"
_WHITE = {f"{W}tab": "\t", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
_NOTES = {f"{W}{kind}Reference": kind for kind in ("footnote", "endnote", "comment")}
_MAX_SPAN = 100
_END_OF_FAINT, _END_OF_BOX = object(), object()


class Body:
    """Writes the body of a document into a builder.

    Args:
        builder: takes the text.
        styles: of the document.
        numbering: of its lists.
        notes: footnote, endnote, comment → id → element.
        embedded: relation → what reads the chunk of another format that it names.
        name: of the file.
    """

    def __init__(
        self,
        builder: TextBuilder,
        styles: Styles,
        numbering: Numbering,
        notes: Mapping[str, Mapping[str, Any]],
        embedded: Mapping[str, Callable[[], Content | None]],
        name: str,
    ) -> None:
        self.title: str | None = None
        self.left_out: Counter[str] = Counter()
        self._builder = builder
        self._styles = styles
        self._numbering = numbering
        self._notes = notes
        self._embedded = embedded
        self._name = name
        self._has_layout = False
        self._pending: list[tuple[str, str]] = []

    def write(self, root: Any) -> None:
        """Write the paragraphs and tables below an element, through content controls."""
        # Where Word recorded its layout, an author's own breaks are part of it.
        self._has_layout = next(root.iter(f"{W}lastRenderedPageBreak"), None) is not None
        self._builder.page(0)
        # A stack and not recursion: hostile files nest deeper than Python's call stack.
        stack = list(reversed(root))
        while stack:
            element = stack.pop()
            if element.tag == f"{W}p":
                self._paragraph(element)
            elif element.tag == f"{W}tbl":
                self._table(element)
            elif element.tag == f"{W}altChunk":
                self._chunk(element)
            elif element.tag in _DELETED:
                self.left_out["deleted"] += 1
            elif element.tag not in _SKIPPED:
                stack.extend(reversed(element))

    def plain(self, root: Any) -> str:
        """The text of a header, a footer or a note, in a line."""
        paragraphs = (self._inline(p).replace(_PAGE, "") for p in _paragraphs(root))
        return " ".join(" ".join(paragraphs).split())

    def _paragraph(self, element: Any) -> None:
        raw = self._inline(element)
        if not self._has_layout and self._styles.breaks_page(element):
            raw = _PAGE + raw
        number = self._number(element)
        text = raw.strip()
        before = raw[: len(raw) - len(raw.lstrip())].count(_PAGE)
        after = raw[len(raw.rstrip()) :].count(_PAGE) if text else 0
        inside = [match.start() - i for i, match in enumerate(re.finditer(_PAGE, text))]
        text = text.replace(_PAGE, "")
        lead = f"{number} " if number and text else ""
        level = self._styles.level(element) if text else 0
        start = self._builder.block(lead + text, level=level)
        at = self._builder.length if start is None else start
        for _ in range(before):
            self._builder.page(at)
        for offset in inside:
            self._builder.page(at + len(lead) + offset)
        for _ in range(after):
            self._builder.page()
        if text and not level and self._styles.is_title(element):
            self.title = self.title or " ".join(text.split())
        self._write_notes()

    def _number(self, element: Any) -> str:
        own = element.find(f"{W}pPr/{W}numPr")
        list_id, level = self._styles.numbering(element)
        if own is not None:
            number_id, own_level = own.find(f"{W}numId"), own.find(f"{W}ilvl")
            list_id = number_id.get(f"{W}val") if number_id is not None else list_id
            level = own_level.get(f"{W}val") if own_level is not None else level
        return self._numbering.number(list_id, int(level) if level and level.isdecimal() else 0)

    def _table(self, element: Any) -> None:
        rows: list[list[str]] = []
        header_rows = 0
        above: list[str] = []
        for row in _own(element, "tr"):
            if row.find(f"{W}trPr/{W}del") is not None:
                self.left_out["deleted"] += 1
                continue
            if row.find(f"{W}trPr/{W}tblHeader") is not None and header_rows == len(rows):
                header_rows += 1
            line: list[str] = []
            for cell in _own(row, "tc"):
                text = " ".join(self._cell(cell).split())
                merged = cell.find(f"{W}tcPr/{W}vMerge")
                if merged is not None and merged.get(f"{W}val") != "restart" and not text:
                    text = above[len(line)] if len(line) < len(above) else ""
                line += [text] * _span(cell)
            rows.append(line)
            above = line
        self._builder.table(rows, header_rows=header_rows or 1)
        self._write_notes()

    def _cell(self, cell: Any) -> str:
        parts = []
        for paragraph in _paragraphs(cell):
            number = self._number(paragraph)
            text = self._inline(paragraph).replace(_PAGE, "").strip()
            parts.append(f"{number} {text}" if number and text else text)
        return " ".join(parts)

    def _chunk(self, element: Any) -> None:
        reader = self._embedded.get(element.get(f"{R}id", ""))
        content = reader() if reader else None
        if content is None:
            self.left_out["embedded"] += 1
        else:
            self._builder.embed(content)

    def _write_notes(self) -> None:
        pending, self._pending = self._pending, []
        for kind, note_id in pending:
            note = self._notes[kind].get(note_id)
            text = self.plain(note) if note is not None else ""
            author = note.get(f"{W}author") if note is not None and kind == "comment" else None
            if text:
                self._builder.block(
                    f"[{kind}{f' by {author}' if author else ''}: {text}]", gap="\n"
                )

    def _inline(self, element: Any) -> str:
        """The visible text below an element, what is white or tiny in marks; ``_PAGE`` where the
        page ends."""
        pieces: list[str] = []
        stack = [element]
        while stack:
            node = stack.pop()
            if node is _END_OF_FAINT:
                pieces.append(CLOSE)
                continue
            if node is _END_OF_BOX:
                pieces.append("\n")
                continue
            tag = node.tag
            if tag == f"{W}t":
                pieces.append(node.text or "")
            elif tag == f"{W}sym":
                symbol = symbol_text(node)
                self.left_out["symbol"] += symbol is None
                pieces.append(symbol or "")
            elif tag == f"{W}fldChar":
                pieces.append(field_text(node))
            elif tag in (f"{M}oMath", f"{M}oMathPara"):
                pieces.append(equation_text(node))
            elif tag in _WHITE:
                pieces.append(_WHITE[tag])
            elif tag == f"{W}lastRenderedPageBreak":
                pieces.append(_PAGE)
            elif tag == f"{W}br":
                is_page = node.get(f"{W}type") == "page"
                pieces.append("\n" if not is_page else "" if self._has_layout else _PAGE)
            elif tag in _NOTES:
                self._pending.append((_NOTES[tag], node.get(f"{W}id", "")))
            elif tag in _DELETED:
                self.left_out["deleted"] += 1
            elif _is_hidden(node):
                self.left_out["hidden"] += next(node.iter(f"{W}t"), None) is not None
            elif tag not in _SKIPPED:
                if (kind := _LEFT_OUT.get(tag)) is not None:
                    self.left_out[kind] += bool(kind)
                if tag == f"{W}p" and pieces:
                    pieces.append("\n")
                if tag == f"{W}txbxContent":
                    stack.append(_END_OF_BOX)
                if tag == f"{W}r" and is_faint(node) and _has_words(node):
                    pieces.append(OPEN)
                    stack.append(_END_OF_FAINT)
                stack.extend(reversed(node))
        text = "".join(pieces).replace(CLOSE + OPEN, "")  # runs beside each other are one
        self.left_out["faint"] += text.count(OPEN)
        return text


def _has_words(run: Any) -> bool:
    return any((text.text or "").strip() for text in run.iter(f"{W}t"))


def _paragraphs(root: Any) -> Iterator[Any]:
    """Those below an element, in their order, that stand in no other: :meth:`Body._inline` reads a
    text box in its paragraph."""
    stack = list(reversed(root))
    while stack:
        node = stack.pop()
        if node.tag == f"{W}p":
            yield node
        elif node.tag not in (*_DELETED, *_SKIPPED):
            stack.extend(reversed(node))


def _own(element: Any, name: str) -> list[Any]:
    """The rows of a table, or cells of a row, that are no other's, through content controls."""
    found, stack = [], list(reversed(element))
    while stack:
        node = stack.pop()
        if node.tag == f"{W}{name}":
            found.append(node)
        elif node.tag not in (f"{W}tbl", f"{W}tc", *_DELETED, *_SKIPPED):
            stack.extend(reversed(node))
    return found


def _span(cell: Any) -> int:
    span = cell.find(f"{W}tcPr/{W}gridSpan")
    value = span.get(f"{W}val", "1") if span is not None else "1"
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() else 1


def _is_hidden(node: Any) -> bool:
    vanish = node.find(f"{W}rPr/{W}vanish") if node.tag == f"{W}r" else None
    return vanish is not None and is_on(vanish)
