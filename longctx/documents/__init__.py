"""Documents: load, lay out in the window, ask, cite.

::

    path → Document → block between markers → window (documents first, question last)
         → answer → citations checked against the text

Where the documents do not fit, their chunks are ranked (``retrieve``) or read a window at a time
(``map_reduce``, ``refine``). They know :class:`longctx.protocols.ChatModel` and nothing below it.
"""

from longctx.documents.answer import (
    Answer,
    AnswerChunk,
    Citation,
    CompiledDocument,
    DocumentTokens,
    Hit,
    PackingReport,
    Passage,
    Repeat,
)
from longctx.documents.answer_stream import AnswerStream
from longctx.documents.choice import Strategy
from longctx.documents.document import Document, Page, Section, Table
from longctx.documents.folder import AddedFolder, LoadedFolder, Skipped, load_folder
from longctx.documents.load import load_document
from longctx.documents.options import AskOptions
from longctx.documents.qa import DocumentQA
from longctx.documents.reranking import Reranker
from longctx.documents.resources import LoadedResources, load_resources
from longctx.documents.sources import SourceOptions
from longctx.search.embedders import SentenceTransformersEmbedder

__all__ = [
    "AddedFolder",
    "Answer",
    "AnswerChunk",
    "AnswerStream",
    "AskOptions",
    "Citation",
    "CompiledDocument",
    "Document",
    "DocumentQA",
    "DocumentTokens",
    "Hit",
    "LoadedFolder",
    "LoadedResources",
    "PackingReport",
    "Page",
    "Passage",
    "Repeat",
    "Reranker",
    "Section",
    "SentenceTransformersEmbedder",
    "Skipped",
    "SourceOptions",
    "Strategy",
    "Table",
    "load_document",
    "load_folder",
    "load_resources",
]
