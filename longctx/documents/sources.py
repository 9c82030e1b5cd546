"""What a user gives as a document, on its way into a library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict, Unpack

from longctx.documents.document import Document
from longctx.documents.folder import LoadedFolder
from longctx.documents.load import load_document, name_of
from longctx.documents.shelf import Incoming
from longctx.errors import DocumentError


class SourceOptions(TypedDict, total=False):
    """What may be said about a document that is added.

    Attributes:
        doc_id: the name of a text, or of a file given as ``Path``. A file without one has its
            name, or, where another has that, its path.
        metadata: what else is known of it, besides what its file says; ``where=`` asks for it.
        encoding: of a text file that does not say it, see :func:`load_document`.
        password: of a PDF or an Office document.
        compile: the share of its keys and values to keep where it stands whole in a window, such
            as 0.75; it is then read once, alone, compressed, and placed wherever a question needs
            it (docs/rag.md). None keeps all.
    """

    doc_id: str | None
    metadata: Mapping[str, Any] | None
    encoding: str | None
    password: str | None
    compile: float | None


SOURCE_OPTIONS = frozenset(SourceOptions.__annotations__)


def incoming(source: str | Path | Document, **options: Unpack[SourceOptions]) -> Incoming:
    """Read a document.

    Args:
        source: a path, a :class:`Document`, or, with ``doc_id``, a text.
        options: what is said about it.

    Raises:
        DocumentError: it cannot be read, holds no text, or its metadata have no names.
        MissingExtraError: it needs a package of the extra ``rag``.
        RequestError: the share is none.
    """
    doc_id = options.get("doc_id")
    document = _document(source, doc_id, options.get("encoding"), options.get("password"))
    if (metadata := options.get("metadata")) is not None:
        if isinstance(metadata, Mapping):
            metadata = {**document.metadata, **metadata}
        document = Document(**{**dict(document), "metadata": metadata})
    if (share := options.get("compile")) is not None:
        document = compiled(document, share)
    is_path = not isinstance(source, Document) and document.source is not None
    origin = _origin(document) if is_path else None
    if doc_id is not None or origin is None:
        return Incoming(document, (document.doc_id,), origin)
    return Incoming(
        document, (document.doc_id, name_of(Path(str(source)).as_posix()), origin), origin
    )


def compiled(document: Document, share: float | None) -> Document:
    """The document, of whose keys and values a share is kept."""
    return Document(**{**dict(document), "compile": share})


def incoming_folder(folder: Path, loaded: LoadedFolder, share: float | None) -> list[Incoming]:
    """The documents of a folder: their names are their paths from there, or, where another has
    that, from the folder above. Of their keys and values a ``share`` is kept."""
    above = name_of(folder.resolve().name)
    return [
        Incoming(
            document if share is None else compiled(document, share),
            (document.doc_id, f"{above}/{document.doc_id}", origin),
            origin,
        )
        for document in loaded.documents
        for origin in [_origin(document)]
    ]


def _origin(document: Document) -> str:
    return Path(os.path.abspath(document.source or "")).as_posix()


def _document(
    source: str | Path | Document, doc_id: str | None, encoding: str | None, password: str | None
) -> Document:
    if isinstance(source, Document):
        return source if doc_id is None else Document(**{**dict(source), "doc_id": doc_id})
    if isinstance(source, Path) or (isinstance(source, str) and doc_id is None):
        return load_document(source, doc_id=doc_id, encoding=encoding, password=password)
    if isinstance(source, str) and doc_id is not None:
        if _is_file(source):
            raise DocumentError(
                f"{source!r} with a doc_id would be taken as the text itself, but it is a file; "
                "pass Path(...) for the file, or Document(...) for the text"
            )
        return Document(doc_id=doc_id, text=source)
    raise DocumentError(
        f"a document is a path, a Document, or a text with doc_id=, not a {type(source).__name__}"
    )


def _is_file(text: str) -> bool:
    try:
        return len(text) < 1000 and Path(text).is_file()
    except (OSError, ValueError):
        return False
