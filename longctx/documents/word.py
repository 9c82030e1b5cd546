"""The text of a Word document (DOCX)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.documents.document import Page, Section, sections_of
from longctx.documents.limits import MAX_UNPACKED_BYTES, check_text
from longctx.errors import DocumentError, LongCtxError, MissingExtraError

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# Deleted text (w:del), what a text box repeats for older readers, and markup that holds no text.
_SKIPPED = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}sectPr", _FALLBACK})
# No XML holds a form feed, so that one in the text can stand for a page break.
_PAGE = "\f"
_WHITE = {
    f"{_W}tab": "\t",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "-",
    f"{_W}lastRenderedPageBreak": _PAGE,
}
_GAP = "\n\n"
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


@dataclass(frozen=True)
class WordText:
    """What a Word document says. ``pages`` are those that Word last laid out, if it said so."""

    text: str
    title: str | None
    pages: tuple[Page, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def word_text(data: bytes, path: Path) -> WordText:
    """Read the body of a DOCX in its order: paragraphs, tables (cells parted by ``" | "``).

    Insertions and text boxes are read; deletions, hidden text, comments, headers, footers and
    footnotes are not (``notes`` names the last). A page of a DOCX is what Word recorded when it
    last laid it out (``w:lastRenderedPageBreak``), so there may be none. Nothing is fetched or
    executed: python-docx resolves no entities, and links and macros are left alone.

    Args:
        data: the whole file.
        path: for messages.

    Raises:
        DocumentError: it is encrypted, malformed, holds no text, or unpacks to too much.
        MissingExtraError: python-docx is not installed.
    """
    try:
        import docx
    except ImportError as error:
        raise MissingExtraError(
            'to read DOCX run `pip install "longctx-sdk[rag]"` (it needs python-docx)'
        ) from error
    if data.startswith(_OLE_MAGIC):
        raise DocumentError(
            f"{path} is encrypted, or is in the old .doc format; "
            "open it in a word processor and save it as .docx without a password"
        )
    try:
        _check_size(data, path)
        return _read(docx.Document(io.BytesIO(data)), path)
    except LongCtxError:
        raise
    except Exception as error:
        # Malformed packages raise whatever zipfile, lxml or python-docx stumble on.
        raise DocumentError(
            f"{path} is a malformed DOCX ({len(data):,} bytes; {type(error).__name__}: {error}); "
            "open it in a word processor and save it again, or save its text as .txt"
        ) from error


def _check_size(data: bytes, path: Path) -> None:
    # zipfile reads no more of a member than its entry states, so that an entry cannot lie.
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        unpacked = sum(entry.file_size for entry in package.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise DocumentError(
            f"{path} is {len(data):,} bytes and unpacks to {unpacked:,}, more than the "
            f"{MAX_UNPACKED_BYTES:,} that are read: a decompression bomb, or full of pictures; "
            "save its text as .txt"
        )


def _read(document: WordDocument, path: Path) -> WordText:
    names = {style.style_id: style.name or "" for style in document.styles}
    levels = {
        style_id: int(match[1])
        for style_id, name in names.items()
        if (match := _HEADING.fullmatch(name))
    }
    writer = _Writer(path, levels, {i for i, name in names.items() if name == "Title"})
    writer.blocks(document.element.body)
    text = "".join(writer.parts)
    if not text.strip():
        raise DocumentError(
            f"{path} holds no text: it is empty, or its content is images; "
            "run OCR on it first, or leave it out"
        )
    starts = writer.page_starts
    pages = tuple(
        Page(number=number, start=start, end=end)
        for number, (start, end) in enumerate(
            zip(starts, [*starts[1:], len(text)], strict=True), start=1
        )
    )
    return WordText(
        text=text,
        title=writer.title or document.core_properties.title or None,
        pages=pages if len(pages) > 1 else (),
        sections=sections_of(writer.headings, len(text)),
        notes=tuple(_notes(document)),
    )


def _notes(document: WordDocument) -> Iterator[str]:
    for relation in document.part.rels.values():
        kind = relation.reltype.rsplit("/", 1)[-1]
        # Word puts a separator and its continuation into every file that has this part.
        if kind in ("footnotes", "endnotes") and not relation.is_external:
            count = relation.target_part.blob.count(f"<w:{kind[:-1]} ".encode()) - 2
            if count > 0:
                yield f"{count} {kind} are not read"


@dataclass
class _Writer:
    """Collects the text, and where its headings and pages begin."""

    path: Path
    heading_levels: dict[str, int]
    title_styles: set[str]
    parts: list[str] = field(default_factory=list)
    length: int = 0
    headings: list[tuple[int, str, int]] = field(default_factory=list)
    page_starts: list[int] = field(default_factory=lambda: [0])
    title: str | None = None
    after_row: bool = False

    def blocks(self, parent: Any) -> None:
        """Write the paragraphs and tables below an element, through content controls."""
        # A stack and not recursion: hostile files nest deeper than Python's call stack.
        stack = list(reversed(parent))
        while stack:
            element = stack.pop()
            if element.tag == f"{_W}p":
                self._paragraph(element)
            elif element.tag == f"{_W}tr":
                self._row(element)
            elif element.tag not in _SKIPPED:
                stack.extend(reversed(element))

    def _paragraph(self, element: Any) -> None:
        raw = _inline(element)
        text = raw.strip()
        start = self.length + (len(_GAP) if self.parts and text else 0)
        before = raw[: len(raw) - len(raw.lstrip())].count(_PAGE)
        inside = [match.start() for match in re.finditer(_PAGE, text)]
        after = raw.count(_PAGE) - before - len(inside)
        text = text.replace(_PAGE, "")
        self.page_starts += [start] * before
        self.page_starts += [start + offset - i for i, offset in enumerate(inside)]
        self.page_starts += [start + len(text)] * after
        if not text:
            return
        style = element.find(f"{_W}pPr/{_W}pStyle")
        style_id = style.get(f"{_W}val") if style is not None else None
        title = " ".join(text.split())
        if level := self.heading_levels.get(style_id or ""):
            self.headings.append((level, title, start))
        elif style_id in self.title_styles:
            self.title = self.title or title
        self._append(text, _GAP)

    def _row(self, element: Any) -> None:
        own = [
            cell
            for cell in element.iter(f"{_W}tc")
            if next(cell.iterancestors(f"{_W}tr")) is element
        ]
        cells = [" ".join(_inline(cell).split()) for cell in own]
        if any(cells):
            self._append(" | ".join(cells), "\n" if self.after_row else _GAP)
            self.after_row = True

    def _append(self, text: str, gap: str) -> None:
        check_text(self.path, self.length + len(text))
        for piece in (gap, text) if self.parts else (text,):
            self.parts.append(piece)
            self.length += len(piece)
        self.after_row = False


def _inline(element: Any) -> str:
    """The visible text below an element; ``_PAGE`` where Word broke the page."""
    pieces: list[str] = []
    stack = [element]
    while stack:
        node = stack.pop()
        if node.tag == f"{_W}t":
            pieces.append(node.text or "")
        elif node.tag in _WHITE:
            pieces.append(_WHITE[node.tag])
        elif node.tag not in _SKIPPED and not _is_hidden(node):
            if node.tag == f"{_W}p" and pieces:
                pieces.append("\n")
            stack.extend(reversed(node))
    return "".join(pieces)


def _is_hidden(node: Any) -> bool:
    vanish = node.find(f"{_W}rPr/{_W}vanish") if node.tag == f"{_W}r" else None
    return vanish is not None and vanish.get(f"{_W}val") not in ("0", "false", "off")
