"""Documents: load, lay out in the window, ask, cite.

::

    path → Document → block between markers → window (documents first, question last)
         → answer → citations checked against the text

They know :class:`longctx.protocols.ChatModel` and nothing below it.
"""

from longctx.documents.answer import Answer, Citation, DocumentTokens, PackingReport
from longctx.documents.document import Document, Section
from longctx.documents.load import load_document
from longctx.documents.qa import DocumentQA

__all__ = [
    "Answer",
    "Citation",
    "Document",
    "DocumentQA",
    "DocumentTokens",
    "PackingReport",
    "Section",
    "load_document",
]
