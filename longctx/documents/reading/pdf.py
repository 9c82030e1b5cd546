"""The text of a PDF, page by page, with what stands in its forms and beside its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from longctx.documents.document import Page, sections_of
from longctx.documents.reading.content import (
    LINE,
    PARAGRAPH,
    Content,
    Source,
    TextBuilder,
    counted,
)
from longctx.documents.reading.pdf_process import Lost, PdfProcess
from longctx.documents.reading.pdf_text import TextRepair, clean, is_garbage
from longctx.errors import DocumentError, MissingExtraError

_MAX_UNMAPPED = 0.5
_MAX_LOST = 10
"""Pages that took too long; each costs its limit, and a new process."""


def read(source: Source) -> Content:
    """Read the text layer of a PDF, its form's values and its annotations.

    A document that opens with an empty password (printing forbidden, reading allowed) is read.
    Scripts, attachments and links in it are left alone. A page that cannot be read, or takes
    longer than ``pdf_process.PAGE_SECONDS``, costs that page.

    Raises:
        DocumentError: it is encrypted, malformed, too large, has no page, or no page has text.
        MissingExtraError: pypdfium2 is not installed.
    """
    if find_spec("pypdfium2") is None:
        raise MissingExtraError(
            'to read PDF run `pip install "longctx-sdk[rag]"` (it needs pypdfium2)'
        )
    opened, pages, bookmarks = _all_pages(source)
    if not pages:
        raise DocumentError(f"{source.name} is a PDF without pages")
    content = _put_together(source, pages, bookmarks)
    metadata = {
        key.lower(): text
        for key, value in opened["metadata"].items()
        if (text := clean(value or "").strip())
    }
    if attached := [clean(name) or "without a name" for name in opened["attached"]]:
        names = ", ".join(attached[:10]) + (" …" if len(attached) > 10 else "")
        files = counted(len(attached), "file")
        content = content.with_notes(f"{files} attached to it not read: {names}")
    return replace(content, title=metadata.get("title"), metadata=metadata)


def _all_pages(source: Source) -> tuple[dict[str, Any], list[dict[str, Any]], list[Any]]:
    """What the document says of itself, its pages in order, its bookmarks."""
    pages: list[dict[str, Any]] = []
    n_lost = 0
    while True:
        with PdfProcess(source, first=len(pages)) as process:
            opened = process.opening()
            if "error" in opened:
                raise _refused(source, opened)
            try:
                while len(pages) < opened["n_pages"]:
                    pages.append(process.page())
                return opened, pages, process.bookmarks()
            except Lost as lost:
                pages.append({"error": str(lost)})
        n_lost += 1
        if n_lost == _MAX_LOST or len(pages) == opened["n_pages"]:
            rest = {"error": f"not tried, because {_MAX_LOST} pages before it failed"}
            return opened, pages + [rest] * (opened["n_pages"] - len(pages)), []


def _refused(source: Source, opened: dict[str, Any]) -> DocumentError:
    if not opened.get("is_locked"):
        return DocumentError(
            f"{source.name} is a malformed PDF ({len(source.data):,} bytes; {opened['error']}); "
            "open it in a viewer and print it to a new PDF, or save its text as .txt"
        )
    if source.password is None:
        return DocumentError(
            f"{source.name} is encrypted and asks for a password; pass password=, or save it "
            "without one, for example `qpdf --decrypt --password=... in.pdf out.pdf`"
        )
    return DocumentError(f"{source.name} is encrypted, and this password does not open it")


def _put_together(
    source: Source, read_pages: list[dict[str, Any]], bookmarks: list[Any]
) -> Content:
    texts = ["\n".join(map(_flat, page.get("parts", ()))) for page in read_pages]
    garbage = [
        number
        for number, (page, text) in enumerate(zip(read_pages, texts, strict=True), start=1)
        if is_garbage(text) or page.get("unmapped", 0) > _MAX_UNMAPPED
    ]
    repair = TextRepair([text for n, text in enumerate(texts, start=1) if n not in garbage])
    builder = TextBuilder(source.name)
    pages: list[Page] = []
    empty: list[int] = []
    for number, page in enumerate(read_pages, start=1):
        before, gap = builder.length, PARAGRAPH
        start = before
        for part in () if number in garbage else page.get("parts", ()):
            if isinstance(part, str):
                builder.block(repair(part), gap=gap)
            else:
                rows, header_rows = part
                cells = [[repair(cell) for cell in row] for row in rows]
                builder.table(cells, header_rows=header_rows, gap=gap)
            gap = LINE if builder.length > before else gap
        for line in _beside(page):
            builder.block(line, gap=gap)
            gap = LINE if builder.length > before else gap
        if builder.length > before:
            start = before + len(PARAGRAPH) * (before > 0)
        elif number not in garbage and "error" not in page:
            empty.append(number)
        pages.append(Page(number=number, start=start, end=builder.length))
    content = builder.content()
    if not content.text:
        raise _without_text(source, read_pages, garbage)
    headings = _headings(bookmarks, content.text, pages)
    return replace(
        content,
        sections=sections_of(headings, len(content.text)),
        pages=tuple(pages),
        notes=tuple(_notes(read_pages, empty, garbage)),
    )


def _flat(part: Any) -> str:
    return part if isinstance(part, str) else "\n".join(" ".join(row) for row in part[0])


def _beside(page: dict[str, Any]) -> Iterator[str]:
    for name, value in page.get("fields", ()):
        yield clean(f"{name}: {value}" if name else value)
    for comment in page.get("comments", ()):
        yield f"[comment: {clean(' '.join(comment.split()))}]"


def _notes(pages: list[dict[str, Any]], empty: list[int], garbage: list[int]) -> Iterator[str]:
    if empty:
        yield f"no text on {_numbers(empty)}: blank, or scanned without a text layer"
    if garbage:
        yield (
            f"the text layer of {_numbers(garbage)} is garbage (its font does not say which "
            "letters it shows) and was left out; run `ocrmypdf --force-ocr in.pdf out.pdf`"
        )
    if n_hidden := sum(page.get("n_hidden", 0) for page in pages):
        yield (
            f"{counted(n_hidden, 'place')} that no reader sees (white, tiny, without ink, or off "
            "the page) marked [not visible: …]"
        )
    for number, page in enumerate(pages, start=1):
        if "error" in page:
            yield f"page {number} could not be read ({page['error']})"


def _without_text(source: Source, pages: list[dict[str, Any]], garbage: list[int]) -> DocumentError:
    reasons = [page["error"] for page in pages if "error" in page]
    if reasons:
        return DocumentError(
            f"{source.name} is a malformed PDF, or beyond the limits: no page could be read (the "
            f"first: {reasons[0]}); open it in a viewer and print it to a new PDF"
        )
    if garbage:
        return DocumentError(
            f"{source.name} has a text layer that is garbage: its fonts do not say which letters "
            "they show. Run OCR over it, for example `ocrmypdf --force-ocr in.pdf out.pdf`"
        )
    pictures = any(page.get("has_pictures") for page in pages)
    what = "its pages are pictures, it is scanned" if pictures else "it is blank or scanned"
    return DocumentError(
        f"{source.name} has no text layer on any of its {len(pages)} pages: {what}. "
        "Run OCR on it first, for example `ocrmypdf in.pdf out.pdf`"
    )


def _headings(bookmarks: list[Any], text: str, pages: list[Page]) -> list[tuple[int, str, int]]:
    """Bookmarks as headings: where the page has the title's words, else where the page begins."""
    headings: list[tuple[int, str, int]] = []
    last = 0
    for level, raw_title, index in bookmarks:
        title = " ".join(clean(raw_title).split())
        if not title or not 0 <= index < len(pages):
            continue
        page = pages[index]
        found = text.find(title, max(last, page.start), page.end)
        # Sections follow each other in the text, whatever the bookmarks' own order is.
        last = max(last, found if found >= 0 else page.start)
        headings.append((level, title, last))
    return headings


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return f"page {shown}" if len(numbers) == 1 else f"pages {shown}{more}"
