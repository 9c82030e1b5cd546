"""From a path to a Document."""

from __future__ import annotations

from pathlib import Path

from longctx.documents.document import Document, Section
from longctx.documents.encoding import decode
from longctx.documents.html import visible_text
from longctx.documents.markdown import first_title, markdown_sections
from longctx.errors import DocumentError

_MEDIA_TYPES = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
}


def load_document(path: str | Path, *, doc_id: str | None = None) -> Document:
    """Read a file.

    Text and Markdown stay as they are written (line ends become ``\\n``); of HTML only the
    visible text remains. Nothing in the file is fetched or executed.

    Args:
        path: a .txt, .text, .md, .markdown, .html, .htm or .xhtml file.
        doc_id: what citations call it; None is the file's name.

    Raises:
        DocumentError: it is missing, a folder, empty, binary, damaged, or of another type.
        MissingExtraError: it needs a package of the extra ``rag``.
    """
    if not isinstance(path, str | Path):
        raise DocumentError(f"a path is a str or a Path, not a {type(path).__name__}")
    file = Path(path)
    data = _read(file)
    media_type = _MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None:
        raise DocumentError(
            f"{file} is of an unknown type ({file.suffix or 'no suffix'}); supported are "
            f"{' '.join(_MEDIA_TYPES)}. If it is text, read it and pass the text with doc_id="
        )
    if not data:
        raise DocumentError(f"{file} is empty (0 bytes)")
    text, encoding = decode(data, file)
    title: str | None = None
    sections: tuple[Section, ...] = ()
    if media_type == "text/html":
        page = visible_text(text)
        if not page.text:
            raise DocumentError(
                f"{file} shows no text ({len(data)} bytes of HTML): its content may be images, "
                "or made by scripts; open it in a browser and save what you see as .txt"
            )
        text, title, sections = page.text, page.title, page.sections
    elif media_type == "text/markdown":
        sections = markdown_sections(text)
    return Document(
        doc_id=doc_id or file.name,
        text=text,
        source=str(file),
        media_type=media_type,
        title=title or first_title(sections),
        encoding=encoding,
        sections=sections,
    )


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DocumentError(f"{path} is a folder; pass the files in it one by one")
        if path.exists() and not path.is_file():
            raise DocumentError(f"{path} is a device or a pipe, not a file; read it yourself")
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
