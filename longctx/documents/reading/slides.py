"""The text of a PowerPoint presentation: a page a slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from longctx.documents.reading.content import LINE, Content, Source, TextBuilder, counted
from longctx.documents.reading.equations import M, equation_text
from longctx.documents.reading.invisible import CLOSE, OPEN
from longctx.documents.reading.malformed import malformed
from longctx.documents.reading.package import Package, main_part
from longctx.errors import DocumentError

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_TITLES = ("title", "ctrTitle")
# Of a notes page: the slide's picture, its number, header, footer and date.
_TINY = 150  # hundredths of a point
_NO_NOTES = ("sldImg", "sldNum", "hdr", "ftr", "dt")


def read(source: Source) -> Content:
    """Read a presentation: titles are headings, tables and charts are tables, notes are text.

    Hidden slides are read, and said to be hidden. Pictures are counted in a note.

    Raises:
        DocumentError: it is encrypted, malformed, or shows no text.
        MissingExtraError: lxml is not installed.
    """
    with malformed(source, "a malformed PowerPoint file", "open it and save it again"):
        return _read(source)


def _read(source: Source) -> Content:
    package = Package(source)
    part = main_part(package, "ppt/presentation.xml")
    builder = TextBuilder(source.name)
    slides = package.related(part)
    hidden: list[int] = []
    left_out: Counter[str] = Counter()
    size = _size(package.xml(part))
    order = (slides.get(e.get(f"{_R}id", "")) for e in package.xml(part).iter(f"{_P}sldId"))
    for number, (_, member) in enumerate(filter(None, order), start=1):
        builder.page()
        if member not in package.names:
            builder.note(f"slide {number} is missing in the file")
            continue
        root = package.xml(member)
        if root.get("show") in ("0", "false"):
            hidden.append(number)
        _Slide(package, member, builder, left_out, size).write(root)
    if not builder.length:
        raise DocumentError(
            f"{source.name} shows no text on any slide: it is empty, or all of it is pictures; "
            "export it as PDF and run OCR on that"
        )
    if hidden:
        builder.note(f"hidden in the show: slide {', '.join(map(str, hidden))}")
    if left_out["picture"]:
        builder.note(f"{counted(left_out['picture'], 'picture')} not read")
    if left_out["embedded"]:
        builder.note(f"{counted(left_out['embedded'], 'embedded file')} not read")
    if n_unseen := left_out["unseen"]:
        builder.note(
            f"{counted(n_unseen, 'place')} that no reader sees (hidden, tiny, or off the slide) "
            "marked [not visible: …]"
        )
    metadata = package.properties()
    return builder.content(title=metadata.get("title"), metadata=metadata)


class _Slide:
    def __init__(
        self,
        package: Package,
        member: str,
        builder: TextBuilder,
        left_out: Counter[str],
        size: tuple[int, int],
    ) -> None:
        self._size = size
        self._package = package
        self._member = member
        self._builder = builder
        self._left_out = left_out
        self._related = package.related(member)

    def write(self, root: Any) -> None:
        """The shapes of the slide in their order, the title first, then its notes."""
        shapes = list(_shapes(root))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        for shape in [*titles, *(s for s in shapes if s not in titles)]:
            self._shape(shape, is_title=shape in titles)
        for kind, member in self._related.values():
            if member not in self._package.names:
                continue
            if kind == "notesSlide":
                self._notes(self._package.xml(member))
            elif kind == "comments":
                for comment in self._package.xml(member).iter(f"{_P}text", f"{_A}t"):
                    self._builder.block(f"[comment: {' '.join((comment.text or '').split())}]")

    def _shape(self, shape: Any, *, is_title: bool) -> None:
        if shape.tag == f"{_P}pic":
            self._left_out["picture"] += 1
        self._left_out["embedded"] += next(shape.iter(f"{_P}oleObj"), None) is not None
        for table in shape.iter(f"{_A}tbl"):
            self._table(table)
            return
        for chart in shape.iter(f"{_C}chart"):
            self._chart(chart.get(f"{_R}id", ""))
        for element in shape.iter():
            if element.tag == "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds":
                self._diagram(element.get(f"{_R}dm", ""))
        body = shape.find(f"{_P}txBody")
        if body is None:
            return
        gap = "\n\n"
        if _is_unseen(shape, self._size) and (text := " ".join(_paragraphs(body))):
            self._left_out["unseen"] += 1
            self._builder.block(f"{OPEN}{text}{CLOSE}")
            return
        if is_title:
            text = " ".join(" ".join(_paragraphs(body)).split())
            self._builder.block(text, level=1)
            return
        for text in _paragraphs(body):
            if self._builder.block(text, gap=gap) is not None:
                gap = LINE

    def _table(self, table: Any) -> None:
        rows: list[list[str]] = []
        for row in table.iter(f"{_A}tr"):
            line: list[str] = []
            for cell in row.iter(f"{_A}tc"):
                text = " ".join(_paragraphs(cell))
                if cell.get("hMerge") in ("1", "true") and line:
                    text = line[-1]
                elif cell.get("vMerge") in ("1", "true") and rows and len(line) < len(rows[-1]):
                    text = rows[-1][len(line)]
                line.append(text)
            rows.append(line)
        self._builder.table(rows)

    def _chart(self, relation: str) -> None:
        """The values that the chart was last drawn from: a row a category, a column a series."""
        _, member = self._related.get(relation, ("", ""))
        if member not in self._package.names:
            return
        root = self._package.xml(member)
        series = list(root.iter(f"{_C}ser"))
        if not series:
            return
        title = root.find(f".//{_C}title")
        if title is not None:
            self._builder.block("".join(t.text or "" for t in title.iter(f"{_A}t")))
        names = [" ".join(_points(s.find(f"{_C}tx")).values()) for s in series]
        categories = _points(series[0].find(f"{_C}cat")) or _points(series[0].find(f"{_C}xVal"))
        values = [_points(s.find(f"{_C}val")) or _points(s.find(f"{_C}yVal")) for s in series]
        places = sorted(set(categories).union(*values))
        rows = [
            [categories.get(i, str(i + 1)), *(column.get(i, "") for column in values)]
            for i in places
        ]
        self._builder.table([["", *names], *rows])

    def _diagram(self, relation: str) -> None:
        _, member = self._related.get(relation, ("", ""))
        if member in self._package.names:
            for point in self._package.xml(member).iter("{*}pt"):
                for text in _paragraphs(point):
                    self._builder.block(text, gap=LINE)

    def _notes(self, root: Any) -> None:
        texts = [
            text
            for shape in _shapes(root)
            if _placeholder(shape) not in _NO_NOTES
            for body in shape.iter(f"{_P}txBody")
            for text in _paragraphs(body)
        ]
        if joined := " ".join(" ".join(texts).split()):
            self._builder.block(f"[notes: {joined}]")


def _shapes(root: Any) -> Iterator[Any]:
    """Shapes, frames and pictures in the order of drawing, out of their groups."""
    tree = root.find(f".//{_P}spTree")
    stack = list(reversed(tree)) if tree is not None else []
    while stack:
        node = stack.pop()
        if node.tag in (f"{_P}sp", f"{_P}graphicFrame", f"{_P}pic", f"{_P}cxnSp"):
            yield node
        elif node.tag != _FALLBACK:
            stack.extend(reversed(node))


def _size(root: Any) -> tuple[int, int]:
    size = root.find(f"{_P}sldSz")
    return (_number(size, "cx"), _number(size, "cy")) if size is not None else (0, 0)


def _is_unseen(shape: Any, slide: tuple[int, int]) -> bool:
    """Whether it is hidden, or lies beside the slide, or all of its text is tiny."""
    named = next(shape.iter(f"{_P}cNvPr"), None)
    if named is not None and named.get("hidden") in ("1", "true"):
        return True
    sizes = {run.get("sz", "") for run in shape.iter(f"{_A}rPr")}
    if sizes and all(size.isdecimal() and int(size) <= _TINY for size in sizes):
        return True
    place = shape.find(f"{_P}spPr/{_A}xfrm")
    if place is None or place.find(f"{_A}off") is None or not all(slide):
        return False
    if next(shape.iterancestors(f"{_P}grpSp"), None) is not None:
        return False  # its place is in its group
    offset, extent = place.find(f"{_A}off"), place.find(f"{_A}ext")
    for axis, length, whole in (("x", "cx", slide[0]), ("y", "cy", slide[1])):
        start = _number(offset, axis)
        if start >= whole or start + (_number(extent, length) if extent is not None else 0) <= 0:
            return True
    return False


def _number(element: Any, name: str) -> int:
    value = element.get(name, "0")
    return int(value) if value.lstrip("-").isdecimal() and len(value) < 15 else 0


def _placeholder(shape: Any) -> str:
    found = shape.find(f".//{_P}nvPr/{_P}ph")
    return str(found.get("type", "")) if found is not None else ""


def _paragraphs(body: Any) -> Iterator[str]:
    for paragraph in body.iter(f"{_A}p"):
        pieces: list[str] = []
        for node in paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab", f"{M}oMath"):
            if node.tag == f"{M}oMath":
                pieces.append(equation_text(node))
            else:
                pieces.append(node.text or "" if node.tag == f"{_A}t" else " ")
        if text := "".join(pieces).strip():
            yield text


def _points(element: Any) -> dict[int, str]:
    if element is None:
        return {}
    return {
        int(point.get("idx", "0")): (point.findtext(f"{_C}v") or "").strip()
        for point in element.iter(f"{_C}pt")
        if point.get("idx", "0").isdecimal()
    }
