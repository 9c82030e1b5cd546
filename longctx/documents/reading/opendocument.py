"""OpenDocument: text, spreadsheets and presentations (LibreOffice)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from longctx.documents.reading.content import LINE, Content, Source, TextBuilder, counted
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.package import Package, local_name
from longctx.errors import DocumentError

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_SKIPPED = frozenset({
    f"{_TEXT}tracked-changes", f"{_TEXT}sequence-decls", f"{_OFFICE}forms", f"{_TEXT}ruby-text",
    f"{_DRAW}object-ole", f"{_OFFICE}scripts", f"{_TABLE}shapes",
})  # fmt: skip
_NOTES = {f"{_TEXT}note", f"{_OFFICE}annotation"}
_MAX_REPEATED = 1000


def read(source: Source) -> Content:
    """Read an OpenDocument file: headings, lists, tables, notes, headers, footers, slides and
    sheets.

    Deletions of tracked changes are left out. A slide is a page; a sheet is a section.

    Raises:
        DocumentError: it is encrypted, malformed, or holds no text.
        MissingExtraError: lxml is not installed.
    """
    with malformed(source, "a malformed OpenDocument file", "open it and save it again"):
        return _read(source)


def _read(source: Source) -> Content:
    package = Package(source)
    if b"encryption-data" in package.read("META-INF/manifest.xml"):
        raise DocumentError(f"{source.name} is encrypted; save it without a password first")
    writer = _Writer(TextBuilder(source.name))
    body = package.xml("content.xml").find(f"{_OFFICE}body")
    margins = list(_margins(package)) if body.find(f"{_OFFICE}text") is not None else []
    builder = writer.builder
    for kind, text in margins:
        if kind == "header":
            builder.block(f"[header: {text}]")
    writer.write(body)
    for kind, text in margins:
        if kind == "footer":
            builder.block(f"[footer: {text}]")
    if not builder.length:
        raise DocumentError(f"{source.name} holds no text: it is empty, or all of it is pictures")
    if writer.n_pictures:
        builder.note(f"{counted(writer.n_pictures, 'picture')} not read")
    metadata = dict(_metadata(package))
    return builder.content(title=writer.title or metadata.get("title"), metadata=metadata)


def _margins(package: Package) -> Iterator[tuple[str, str]]:
    """The headers and the footers of all pages' styles, each once."""
    if "styles.xml" not in package.names:
        return
    seen: set[tuple[str, str]] = set()
    for element in package.xml("styles.xml").iter():
        if not isinstance(element.tag, str) or not element.tag.startswith(_STYLE):
            continue
        kind = local_name(element).partition("-")[0]
        if kind not in ("header", "footer") or local_name(element) == f"{kind}-style":
            continue
        text = " ".join(" ".join("".join(p.itertext()) for p in _paragraphs(element)).split())
        if text and (kind, text) not in seen:
            seen.add((kind, text))
            yield kind, text


def _paragraphs(root: Any) -> Iterator[Any]:
    """Those below an element that stand in no other: a text box is read in its paragraph."""
    stack = list(reversed(root))
    while stack:
        node = stack.pop()
        if node.tag in (f"{_TEXT}p", f"{_TEXT}h"):
            yield node
        elif node.tag not in (*_SKIPPED, *_NOTES):
            stack.extend(reversed(node))


def _metadata(package: Package) -> Iterator[tuple[str, str]]:
    if "meta.xml" in package.names:
        root = package.xml("meta.xml")
        for name, key in (("title", "title"), ("creator", "author"), ("date", "modified")):
            text = (root.findtext(f".//{_DC}{name}") or "").strip()
            if text:
                yield key, text


class _Writer:
    def __init__(self, builder: TextBuilder) -> None:
        self.builder = builder
        self.title: str | None = None
        self.n_pictures = 0
        self._pending: list[str] = []

    def write(self, root: Any) -> None:
        # A stack and not recursion: hostile files nest deeper than Python's call stack.
        stack: list[Any] = [root]
        while stack:
            node = stack.pop()
            if node.tag in (f"{_TEXT}p", f"{_TEXT}h"):
                self._paragraph(node)
            elif node.tag == f"{_TABLE}table":
                self._table(node)
            elif node.tag not in _SKIPPED:
                if node.tag == f"{_DRAW}page":
                    self.builder.page()
                self.n_pictures += node.tag == f"{_DRAW}image"
                stack.extend(reversed(node))

    def _paragraph(self, node: Any) -> None:
        level = node.get(f"{_TEXT}outline-level", "1") if node.tag == f"{_TEXT}h" else "0"
        in_list = local_name(node.getparent()) == "list-item"
        text = self._inline(node).strip()
        self.builder.block(
            text, level=int(level) if level.isdecimal() else 1, gap=LINE if in_list else "\n\n"
        )
        if text and node.get(f"{_TEXT}style-name") == "Title":
            self.title = self.title or " ".join(text.split())
        pending, self._pending = self._pending, []
        for note in pending:
            self.builder.block(note, gap=LINE)

    def _table(self, node: Any) -> None:
        name = node.get(f"{_TABLE}name", "")
        if local_name(node.getparent()) == "spreadsheet":
            if not any((t.text or "").strip() for t in node.iter(f"{_TEXT}p", f"{_TEXT}span")):
                return
            self.builder.block(name, level=1)
        headers = sum(
            1
            for part in node.iter(f"{_TABLE}table-header-rows")
            for _ in part.iter(f"{_TABLE}table-row")
        )
        self.builder.table(self._rows(node), header_rows=headers or 1)
        pending, self._pending = self._pending, []
        for note in pending:
            self.builder.block(note, gap=LINE)

    def _rows(self, table: Any) -> Iterator[list[str]]:
        covered: dict[int, tuple[str, int]] = {}
        for row in table.iter(f"{_TABLE}table-row"):
            if next(row.iterancestors(f"{_TABLE}table")) is not table:
                continue
            line: list[str] = []
            for cell in row:
                text = " ".join(self._cell(cell).split())
                repeated = _number(cell, "number-columns-repeated")
                if cell.tag == f"{_TABLE}covered-table-cell":
                    for _ in range(min(repeated, _MAX_REPEATED)):
                        above, left = covered.get(len(line), (text, 0))
                        if left:
                            covered[len(line)] = (above, left - 1)
                        line.append(above)
                elif cell.tag == f"{_TABLE}table-cell":
                    columns = _number(cell, "number-columns-spanned")
                    rows = _number(cell, "number-rows-spanned")
                    for column in range(len(line), len(line) + min(columns, _MAX_REPEATED)):
                        covered[column] = (text, rows - (column == len(line)))
                    # An empty row is repeated to the sheet's edge.
                    line += [text] * (min(repeated, _MAX_REPEATED) if text else min(repeated, 256))
            while line and not line[-1]:
                line.pop()
            yield line
            again = _number(row, "number-rows-repeated")
            for _ in range(min(again, _MAX_REPEATED) - 1 if any(line) else 0):
                yield line

    def _cell(self, cell: Any) -> str:
        for comment in cell.findall(f"{_OFFICE}annotation"):
            self._note(comment)
        return " ".join(map(self._inline, _paragraphs(cell)))

    def _inline(self, node: Any) -> str:
        pieces = [node.text or ""]
        stack = [(child, False) for child in reversed(node)]
        while stack:
            child, is_done = stack.pop()
            if is_done:
                if child.tag in (f"{_TEXT}p", f"{_TEXT}h"):
                    pieces.append("\n")
                pieces.append(child.tail or "")
                continue
            stack.append((child, True))
            name = local_name(child)
            if child.tag in _NOTES:
                self._note(child)
            elif child.tag == f"{_TEXT}s":
                pieces.append(" " * min(_number(child, "c", _TEXT), 100))
            elif name in ("tab", "line-break"):
                pieces.append("\t" if name == "tab" else "\n")
            elif child.tag not in _SKIPPED and name:
                self.n_pictures += child.tag == f"{_DRAW}image"
                if child.tag in (f"{_TEXT}p", f"{_TEXT}h") and any(pieces):
                    pieces.append("\n")
                pieces.append(child.text or "")
                stack += [(inner, False) for inner in reversed(child)]
        return "".join(pieces)

    def _note(self, note: Any) -> None:
        is_comment = note.tag == f"{_OFFICE}annotation"
        kind = "comment" if is_comment else note.get(f"{_TEXT}note-class", "footnote")
        author = note.findtext(f"{_DC}creator") if is_comment else None
        text = " ".join("".join(p.itertext()) for p in note.iter(f"{_TEXT}p"))
        if text := " ".join(text.split()):
            self._pending.append(f"[{kind}{f' by {author}' if author else ''}: {text}]")


def _number(element: Any, name: str, namespace: str = _TABLE) -> int:
    value = element.get(f"{namespace}{name}", "1")
    return max(1, int(value)) if value.isdecimal() and len(value) < 9 else 1
