"""The text layer of a PDF, page by page."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.documents.document import Page, Section, sections_of
from longctx.documents.limits import check_text
from longctx.errors import DocumentError, LongCtxError, MissingExtraError

if TYPE_CHECKING:
    from pypdf import PdfReader

_PAGE_GAP = "\n\n"
_MAX_BOOKMARKS = 20_000


@dataclass(frozen=True)
class PdfText:
    """What a PDF says: ``pages`` are spans of ``text``, ``sections`` come from its bookmarks."""

    text: str
    title: str | None
    pages: tuple[Page, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def pdf_text(data: bytes, path: Path) -> PdfText:
    """Read the text layer of a PDF.

    A document that opens with an empty password (printing forbidden, reading allowed) is read.
    Scripts, forms, attachments and links in it are left alone. pypdf bounds what a stream may
    decompress to; the whole text is bounded here.

    Args:
        data: the whole file.
        path: for messages.

    Raises:
        DocumentError: it is encrypted, malformed, too large, has no page, or no page has text.
        MissingExtraError: pypdf is not installed.
    """
    try:
        import pypdf
    except ImportError as error:
        raise MissingExtraError(
            'to read PDF run `pip install "longctx-sdk[rag]"` (it needs pypdf)'
        ) from error
    # It warns of each flaw that it mends; what it cannot mend is an error below.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        _unlock(reader, path)
        return _read(reader, path)
    except LongCtxError:
        raise
    except (Exception, RecursionError) as error:
        # Malformed files raise whatever the parser stumbles on: KeyError, ValueError, struct.error.
        raise DocumentError(
            f"{path} is a malformed PDF ({len(data):,} bytes; {type(error).__name__}: {error}); "
            "open it in a viewer and print it to a new PDF, or save its text as .txt"
        ) from error


def _unlock(reader: PdfReader, path: Path) -> None:
    if not reader.is_encrypted:
        return
    from pypdf.errors import DependencyError

    try:
        opened = reader.decrypt("")
    except DependencyError as error:
        raise MissingExtraError(
            f'{path} is encrypted with AES: run `pip install "longctx-sdk[rag]"` '
            "(it needs cryptography)"
        ) from error
    if not opened:
        raise DocumentError(
            f"{path} is encrypted and asks for a password; save it without one first, "
            "for example `qpdf --decrypt --password=... in.pdf out.pdf`"
        )


def _read(reader: PdfReader, path: Path) -> PdfText:
    parts: list[str] = []
    pages: list[Page] = []
    without_text: list[int] = []
    length = 0
    for number, page in enumerate(reader.pages, start=1):
        text = _clean(page.extract_text())
        check_text(path, length + len(text))
        if not text:
            without_text.append(number)
        elif parts:
            parts.append(_PAGE_GAP)
            length += len(_PAGE_GAP)
        pages.append(Page(number=number, start=length, end=length + len(text)))
        parts.append(text)
        length += len(text)
    if not pages:
        raise DocumentError(f"{path} is a PDF without pages")
    if len(without_text) == len(pages):
        raise DocumentError(
            f"{path} has no text layer on any of its {len(pages)} pages: it is blank or scanned. "
            "Run OCR on it first, for example `ocrmypdf in.pdf out.pdf`"
        )
    notes: tuple[str, ...] = ()
    if without_text:
        notes = (f"no text on {_numbers(without_text)}: blank, or scanned without a text layer",)
    text = "".join(parts)
    return PdfText(text, _title(reader), tuple(pages), _bookmarks(reader, text, pages), notes)


def _clean(text: str) -> str:
    # Broken font tables give lone surrogates and nulls, which no tokenizer reads.
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def _title(reader: PdfReader) -> str | None:
    title = reader.metadata.title if reader.metadata else None
    return _clean(title).strip() or None if isinstance(title, str) else None


def _bookmarks(reader: PdfReader, text: str, pages: list[Page]) -> tuple[Section, ...]:
    """Bookmarks as headings: where the page has the title's words, else where the page begins."""
    headings: list[tuple[int, str, int]] = []
    last = 0
    try:
        for level, title, page_index in _walk(reader, reader.outline, 1):
            if page_index is None or not 0 <= page_index < len(pages):
                continue
            page = pages[page_index]
            found = text.find(title, max(last, page.start), page.end)
            # Sections follow each other in the text, whatever the bookmarks' own order is.
            last = max(last, found if found >= 0 else page.start)
            headings.append((level, title, last))
    except Exception:
        # Bookmarks are an extra: a damaged outline is no reason to refuse the text.
        logging.getLogger("longctx").info("the bookmarks of a PDF cannot be read", exc_info=True)
    return sections_of(headings, len(text))


def _walk(
    reader: PdfReader, outline: list[Any], level: int
) -> Iterator[tuple[int, str, int | None]]:
    stack = [(iter(outline), level)]
    for _ in range(_MAX_BOOKMARKS):
        if not stack:
            return
        items, level = stack[-1]
        item = next(items, None)
        if item is None:
            stack.pop()
        elif isinstance(item, list):
            stack.append((iter(item), level + 1))
        else:
            title = " ".join(_clean(str(item.title)).split())
            if title:
                yield level, title, reader.get_destination_page_number(item)


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return f"page {shown}" if len(numbers) == 1 else f"pages {shown}{more}"
