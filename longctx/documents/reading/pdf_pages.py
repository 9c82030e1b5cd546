"""Reads PDFs in a process of its own: ``python -I pdf_pages.py``, run by :mod:`pdf`.

PDFium is fast C++ that cannot be interrupted and is not safe in threads; a page that takes for
ever, or the memory of the machine, ends this process and not its parent. Of longctx it imports what
needs nothing else, so that it starts at once.

Standard input, for each file: a line of JSON (``first`` page from 0, ``password``, ``size`` of the
file, ``paths`` to import from), then the file. Standard output, for each: lines of JSON, one for
the document, one for each page, one for the bookmarks.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_MEMORY_BYTES = 4 << 30
_TIRED_BYTES = 1 << 30
"""Memory after which the next file is left to a new process."""
_MAX_BOOKMARKS = 20_000
_MAX_ANNOTATIONS = 5_000
_MAX_ATTACHED = 1_000
_MAX_PAGE_CHARS = 64_000_000
_SAMPLE_CHARS = 200
_MAX_LAID_OUT_CHARS = 200_000  # a page of print has some five thousand


def main() -> None:
    """Answer requests until there are no more."""
    _bound_memory()
    _be_light()
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        # Behind what Python brings: a user's own packages, say.
        sys.path += [path for path in request["paths"] if path not in sys.path]
        _answer(request, sys.stdin.buffer.read(request["size"]))
        if _peak_bytes() > _TIRED_BYTES:
            return


def _be_light() -> None:
    """Let modules beside this one be imported without the packages that they are in."""
    folder = Path(__file__).parent
    for name in ("longctx.documents.reading", "longctx.documents", "longctx"):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        folder = folder.parent


def _answer(request: dict[str, Any], data: bytes) -> None:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        document = pypdfium2.PdfDocument(data, password=request["password"])
    except pypdfium2.PdfiumError as error:
        locked = pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD or "assword" in str(error)
        _tell({"error": str(error), "is_locked": locked})
        return
    with document:
        form = _form(document)
        metadata = {key: document.get_metadata_value(key) for key in ("Title", "Author", "Subject")}
        attached = list(_attached(document))
        _tell({"n_pages": len(document), "metadata": metadata, "attached": attached})
        for index in range(request["first"], len(document)):
            try:
                _tell(_page(pdfium, document, index, form))
            except Exception as error:  # this page is lost, and the others are not
                _tell({"error": f"{type(error).__name__}: {error}"})
        _tell({"bookmarks": list(_bookmarks(document))})


def _peak_bytes() -> int:
    try:
        # Linux counts what the process that started this one held into getrusage's figure, and
        # that may be a model.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        pass  # another system
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, _MEMORY_BYTES)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (OSError, ValueError):  # not every system lets itself be bound
        return


def _form(document: Any) -> Any:
    try:
        document.init_forms()
    except Exception:  # a damaged form is no reason to refuse the text
        return None
    return document.formenv


def _page(pdfium: Any, document: Any, index: int, form: Any) -> dict[str, Any]:
    page = document[index]
    try:
        text_page = page.get_textpage()
        n_chars = text_page.count_chars()
        if n_chars > _MAX_PAGE_CHARS:
            return {"error": f"{n_chars:,} characters on one page, more than the limit"}
        # Lone surrogates count as well: without them, all behind would be found a place too early.
        text = text_page.get_text_range(errors="surrogatepass") if n_chars else ""
        parts, n_hidden = _parts(pdfium, page, text_page, text, n_chars)
        fields, comments = _annotations(pdfium, page, form)
        pictures = any(o.type == pdfium.FPDF_PAGEOBJ_IMAGE for o in page.get_objects(max_depth=3))
        return {
            "parts": parts,
            "n_hidden": n_hidden,
            "fields": fields,
            "comments": comments,
            "has_pictures": pictures,
            "unmapped": _unmapped(pdfium, text_page, n_chars),
        }
    finally:
        page.close()


def _parts(
    pdfium: Any, page: Any, text_page: Any, text: str, n_chars: int
) -> tuple[list[Any], int]:
    """The text in its parts, and how many places in it no reader sees."""
    from longctx.documents.reading.pdf_layout import laid_out
    from longctx.documents.reading.pdf_places import look
    from longctx.documents.reading.pdf_tables import tables_of

    if n_chars > _MAX_LAID_OUT_CHARS:
        return [text], 0
    try:
        places = look(pdfium, page, text_page, n_chars)
        tables = tables_of(places.words, places.across, places.down)
    except Exception:  # tables are an extra: what is damaged costs them, and not the text
        return [text], 0

    at = _code_points(text)

    def index(i: int) -> int:
        unit = int(pdfium.FPDFText_GetTextIndexFromCharIndex(text_page.raw, i))
        return at[unit] if at and 0 <= unit < len(at) else unit

    return laid_out(text, tables, places.hidden, index)


def _code_points(text: str) -> list[int]:
    """The place in a text of each of its UTF-16 units, by which PDFium counts; none if they are
    the same."""
    if text.isascii() or max(text) <= "\uffff":
        return []
    return [i for i, char in enumerate(text) for _ in range(1 + (char > "\uffff"))]


def _unmapped(pdfium: Any, text_page: Any, n_chars: int) -> float:
    """The share of characters, of a sample, whose font does not say what they mean."""
    sample = range(0, n_chars, max(1, n_chars // _SAMPLE_CHARS))
    errors = sum(pdfium.FPDFText_HasUnicodeMapError(text_page, i) == 1 for i in sample)
    return float(errors / max(1, len(sample)))


def _annotations(pdfium: Any, page: Any, form: Any) -> tuple[list[list[str]], list[str]]:
    """The values of a form's fields by name, and what people wrote beside the text."""
    fields: list[list[str]] = []
    comments: list[str] = []
    count = min(pdfium.FPDFPage_GetAnnotCount(page), _MAX_ANNOTATIONS)
    for i in range(count):
        annotation = pdfium.FPDFPage_GetAnnot(page, i)
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_WIDGET and form:
                fields += _field(pdfium, annotation, form)
            elif kind not in (pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_LINK):
                text = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
                author = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"T")
                if text.strip():
                    comments.append(f"{author}: {text}" if author.strip() else text)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    return fields, comments


def _field(pdfium: Any, annotation: Any, form: Any) -> Iterator[list[str]]:
    handle = getattr(form, "raw", form)
    kind = pdfium.FPDFAnnot_GetFormFieldType(handle, annotation)
    name = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, handle, annotation)
    name = name or _string(pdfium.FPDFAnnot_GetFormFieldName, handle, annotation)
    value = _string(pdfium.FPDFAnnot_GetFormFieldValue, handle, annotation)
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        if not pdfium.FPDFAnnot_IsChecked(handle, annotation):
            return
        value = "yes" if value in ("Yes", "On", "1", "") else value
    elif kind == pdfium.FPDF_FORMFIELD_PUSHBUTTON:
        return
    if value.strip():
        yield [name, value]


def _string(function: Callable[..., int], *arguments: Any) -> str:
    n_bytes = function(*arguments, None, 0)
    if n_bytes <= 2:
        return ""
    buffer = ctypes.create_string_buffer(n_bytes)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), n_bytes)
    return buffer.raw[: n_bytes - 2].decode("utf-16-le", "replace")


def _attached(document: Any) -> Iterator[str]:
    try:
        for i in range(min(document.count_attachments(), _MAX_ATTACHED)):
            yield document.get_attachment(i).get_name()
    except Exception:  # what is damaged is named nowhere, and the text is read
        return


def _bookmarks(document: Any) -> Iterator[tuple[int, str, int]]:
    try:
        for n, bookmark in enumerate(document.get_toc(max_depth=15)):
            destination = bookmark.get_dest()
            index = destination.get_index() if destination else None
            if n >= _MAX_BOOKMARKS:
                return
            if index is not None:
                yield bookmark.level + 1, bookmark.get_title(), index
    except Exception:  # bookmarks are an extra: a damaged outline costs itself
        return


def _tell(message: dict[str, Any]) -> None:
    # ASCII: lone surrogates of broken fonts survive as escapes.
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
