"""From a path to a Document."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from longctx.documents.document import Document
from longctx.documents.reading.content import Content, Source, counted
from longctx.documents.reading.formats import Format, format_of_media_type, format_of_name
from longctx.documents.reading.limits import MAX_FILE_BYTES, check_text
from longctx.documents.reading.package import unlocked
from longctx.documents.reading.pdf_process import one_process
from longctx.documents.reading.recognise import recognise
from longctx.errors import DocumentError, RequestError

# Escapes of JSON and YAML may name half a character, which no text can hold.
_HALF = re.compile("[\ud800-\udfff]")

_NAME_A_TEXT = "; to pass a text instead of a path give it a name: doc_id='...'"


def load_document(
    path: str | Path,
    *,
    doc_id: str | None = None,
    encoding: str | None = None,
    password: str | None = None,
) -> Document:
    """Read a file.

    Its bytes say what it is, whatever its suffix; of text, the suffix does. Text, markup and source
    code stay as they are written (line ends become ``\\n``); of HTML, PDF, office documents, books
    and mail the visible text remains. Headings become ``sections``, pages ``pages``, tables
    ``tables``. What was guessed, or is in the file and not in the text, is said in ``notes``.
    Nothing in the file is fetched or executed.

    Args:
        path: docs/rag.md has a table of what is read.
        doc_id: what citations call it; None is the file's name.
        encoding: of a text file, where its bytes do not say or say it wrong, such as ``"cp1252"``.
        password: of a PDF or an Office document.

    Raises:
        DocumentError: it is missing, a folder, empty, binary, damaged, encrypted, without a text
            layer, too large, or of a kind that holds no text.
        MissingExtraError: it needs a package of the extra ``rag``.
    """
    if not isinstance(path, str | Path):
        raise DocumentError(f"a path is a str or a Path, not a {type(path).__name__}")
    for name, value in (("encoding", encoding), ("password", password)):
        if value is not None and not isinstance(value, str):
            raise RequestError(f"{name} is a str, not a {type(value).__name__}")
    file = Path(path)
    # A str may have been meant as a text; a Path was not.
    hint = "" if isinstance(path, Path) else _NAME_A_TEXT
    data = _read(file, hint)
    if not data:
        raise DocumentError(f"{file} is empty (0 bytes)")
    source = Source(data, name_of(str(file)), encoding, password, read_inner=_inner)
    with one_process():  # of all that are attached to a mail
        file_format, content = _content(source, file)
    check_text(file, len(content.text))
    text, n_halves = _HALF.subn("\ufffd", content.text)
    if n_halves:
        content = content.with_notes(f"{counted(n_halves, 'character')} of which half is missing")
    return Document(
        doc_id=doc_id or name_of(file.name),
        text=text,
        source=source.name,
        media_type=file_format.media_type,
        title=content.title and _HALF.sub("\ufffd", content.title),
        encoding=content.encoding,
        sections=tuple(
            section.model_copy(update={"title": _HALF.sub("\ufffd", section.title)})
            for section in content.sections
        ),
        pages=content.pages,
        tables=content.tables,
        notes=content.notes,
        metadata={name: _HALF.sub("\ufffd", one) for name, one in content.metadata.items()},
    )


def name_of(path: str) -> str:
    """A path as text: bytes that the system's encoding lacks are read as UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _inner(source: Source, file: PurePath) -> Content:
    return _content(source, file)[1]


def _content(source: Source, file: PurePath) -> tuple[Format, Content]:
    source = unlocked(source)
    named = format_of_name(file)
    # The name says which kind of text a text is, but for one that is named like a binary.
    trusted = named is not None and named.is_text
    shown = recognise(source.data, file, text_too=not trusted)
    if named is not None and trusted and shown is None:
        found = named
    else:
        found = format_of_media_type(shown or "text/plain")
    content = found.read(source)
    if named is not None and found.media_type != named.media_type:
        content = content.with_notes(f"its name says {named.name}, its bytes say {found.name}")
    return found, content


def _read(path: Path, hint: str) -> bytes:
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
        raise DocumentError(f"there is no file {_short(path)}{hint}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        # strerror: the whole message repeats the path, which may be a text of any length.
        reason = getattr(error, "strerror", None) or error
        raise DocumentError(f"{_short(path)} cannot be read ({reason}){hint}") from error


def _short(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 200 else text[:200] + "…")
