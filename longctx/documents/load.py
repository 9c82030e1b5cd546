"""From a path to a Document."""

from __future__ import annotations

from pathlib import Path

from longctx.documents.document import Document
from longctx.documents.encoding import decode
from longctx.documents.html import visible_text
from longctx.documents.limits import MAX_FILE_BYTES, check_text
from longctx.documents.markdown import first_title, markdown_sections
from longctx.documents.media_types import (
    DOCX,
    HTML,
    MARKDOWN,
    PDF,
    PYTHON,
    SUPPORTED,
    media_type_of,
)
from longctx.documents.pdf import pdf_text
from longctx.documents.source_code import python_sections
from longctx.documents.word import word_text
from longctx.errors import DocumentError


def load_document(path: str | Path, *, doc_id: str | None = None) -> Document:
    """Read a file.

    Text, Markdown and source code stay as they are written (line ends become ``\\n``); of HTML,
    PDF and DOCX the visible text remains. Headings become ``sections``, pages ``pages``. Nothing
    in the file is fetched or executed.

    Args:
        path: text, Markdown, HTML, PDF, DOCX or source code, by its suffix.
        doc_id: what citations call it; None is the file's name.

    Raises:
        DocumentError: it is missing, a folder, empty, binary, damaged, encrypted, without a text
            layer, too large, or of another type.
        MissingExtraError: it needs a package of the extra ``rag``.
    """
    if not isinstance(path, str | Path):
        raise DocumentError(f"a path is a str or a Path, not a {type(path).__name__}")
    file = Path(path)
    data = _read(file)
    media_type = media_type_of(file)
    if media_type is None:
        raise DocumentError(
            f"{file} is of an unknown type ({file.suffix or 'no suffix'}); supported are "
            f"{SUPPORTED}. If it is text, read it and pass the text with doc_id="
        )
    if not data:
        raise DocumentError(f"{file} is empty (0 bytes)")
    document = _from_bytes(data, file, media_type, doc_id or name_of(file.name))
    check_text(file, len(document.text))
    return document


def name_of(path: str) -> str:
    """A path as text: bytes that the system's encoding lacks are read as UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _from_bytes(data: bytes, file: Path, media_type: str, doc_id: str) -> Document:
    if media_type in (PDF, DOCX):
        content = pdf_text(data, file) if media_type == PDF else word_text(data, file)
        return Document(
            doc_id=doc_id,
            text=content.text,
            source=name_of(str(file)),
            media_type=media_type,
            title=content.title or first_title(content.sections),
            sections=content.sections,
            pages=content.pages,
            notes=content.notes,
        )
    text, encoding = decode(data, file)
    title = None
    if media_type == HTML:
        page = visible_text(text)
        if not page.text:
            raise DocumentError(
                f"{file} shows no text ({len(data)} bytes of HTML): its content may be images, "
                "or made by scripts; open it in a browser and save what you see as .txt"
            )
        text, title, sections = page.text, page.title, page.sections
    elif media_type == MARKDOWN:
        sections = markdown_sections(text)
    else:
        sections = python_sections(text) if media_type == PYTHON else ()
    return Document(
        doc_id=doc_id,
        text=text,
        source=name_of(str(file)),
        media_type=media_type,
        title=title or (first_title(sections) if media_type != PYTHON else None),
        encoding=encoding,
        sections=sections,
    )


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DocumentError(f"{path} is a folder; load_folder and add_folder read one")
        if path.exists() and not path.is_file():
            raise DocumentError(f"{path} is a device or a pipe, not a file; read it yourself")
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise DocumentError(
                f"{path} is {size:,} bytes, more than the {MAX_FILE_BYTES:,} that are read; "
                "split it, or extract the text you need"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DocumentError(
            f"there is no file {_short(path)}; to pass a text instead of a path give it a name: "
            "doc_id='...'"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        # strerror: the whole message repeats the path, which may be a text of any length.
        reason = getattr(error, "strerror", None) or error
        raise DocumentError(
            f"{_short(path)} cannot be read ({reason}); to pass a text instead of a path give it "
            "a name: doc_id='...'"
        ) from error


def _short(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 200 else text[:200] + "…")
