"""Files to LangChain documents, and LangChain documents to ``DocumentQA``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from langchain_longctx.chat_model import ChatLongCtx
from longctx.documents import Document as LongCtxDocument
from longctx.documents import DocumentQA, load_document, load_folder

logger = logging.getLogger("langchain_longctx")


class LongCtxLoader(BaseLoader):
    """Read a file, or every document below a folder, with longctx's readers.

    Text, markup, source code and, with the extra ``rag``, HTML, PDF, office files, books and mail.
    A document is not cut: the window is meant to hold it. ``metadata`` has what the file says
    of itself (front matter, headers of a mail), ``source``, ``title``, ``media_type`` and, where
    there are any, ``pages`` (number, start and end in characters) and ``notes`` on what the file
    has that the text has not.

    Args:
        path: a file or a folder. Files of a folder that cannot be read are logged as warnings,
            with their reasons.

    Raises:
        DocumentError: while loading: the path cannot be read.
        MissingExtraError: while loading: a file needs the extra ``rag``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def lazy_load(self) -> Iterator[Document]:
        """The documents, in the order of their paths."""
        if not self.path.is_dir():
            yield from_longctx(load_document(self.path))
            return
        folder = load_folder(self.path)
        for skipped in folder.skipped:
            logger.warning("%s was skipped: %s", skipped.path, skipped.reason)
        yield from map(from_longctx, folder.documents)


def from_longctx(document: LongCtxDocument) -> Document:
    """A document in LangChain's form; its ``id`` is its ``doc_id``."""
    metadata: dict[str, Any] = {
        **document.metadata,
        "source": document.source or document.doc_id,
        "title": document.title,
        "media_type": document.media_type,
    }
    if document.pages:
        metadata["pages"] = [page.model_dump() for page in document.pages]
    if document.notes:
        metadata["notes"] = list(document.notes)
    return Document(page_content=document.text, metadata=metadata, id=document.doc_id)


def to_longctx_documents(documents: Sequence[Document]) -> list[LongCtxDocument]:
    """Documents in longctx's form, each with a name of its own.

    The name is the ``id``, else the ``source`` of its metadata, else its number; documents that
    share a name (the pages of a file, say) are numbered: ``report.pdf``, ``report.pdf #2``. Of
    their metadata, which ``where=`` of a question goes by, what JSON can hold is kept.

    Raises:
        DocumentError: one holds no text.
    """
    seen: dict[str, int] = {}
    made = []
    for number, document in enumerate(documents, start=1):
        known = document.metadata
        source, title = known.get("source"), known.get("title")
        name = str(document.id or source or f"document {number}")
        seen[name] = seen.get(name, 0) + 1
        made.append(
            LongCtxDocument(
                doc_id=name if seen[name] == 1 else f"{name} #{seen[name]}",
                text=document.page_content,
                source=None if source is None else str(source),
                title=None if title is None else str(title),
                metadata={str(key): value for key, value in known.items() if _is_plain(value)},
            )
        )
    return made


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def document_qa(documents: Sequence[Document], chat: ChatLongCtx, **options: Any) -> DocumentQA:
    """Ask LangChain documents with longctx: whole in the window where they fit, and cited.

    Args:
        documents: from any loader or splitter.
        chat: whose model answers; the cached window is shared with it.
        options: of :class:`longctx.documents.DocumentQA`, such as ``strategy``.

    Raises:
        DocumentError: a document holds no text, or an option is wrong.
    """
    qa = DocumentQA(chat.llm, **options)
    for document in to_longctx_documents(documents):
        qa.add(document)
    return qa
