"""longctx's retrieval as a LangChain retriever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from langchain_longctx.loader import to_longctx_documents
from longctx import DocumentError
from longctx.documents.holdings import once
from longctx.documents.library import Library
from longctx.documents.shelf import Incoming
from longctx.search.embedders import as_embedder


class LongCtxRetriever(BaseRetriever):
    """The passages that answer a question best, by meaning and by words together.

    Documents are cut at headings, paragraphs and sentences into passages of at most 192 tokens,
    counted by the model that will read them; reciprocal rank fusion joins the rankings of
    embeddings and BM25. Make one with :meth:`from_documents`; it needs the extra ``rag``.

    A passage's ``metadata`` is its document's, with ``doc_id``, ``start`` and ``end`` (in
    characters of the document), ``headings`` and ``tokens``.
    """

    k: int = Field(default=4, ge=1)
    """How many passages come back."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    _library: Library = PrivateAttr()
    _metadata: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        *,
        count: Callable[[str], int],
        k: int = 4,
        embedder: Any = None,
    ) -> Self:
        """Index documents.

        Args:
            documents: whole ones; they are cut here.
            count: tokens of a text, such as ``chat.get_num_tokens``.
            k: how many passages come back.
            embedder: a sentence-transformers model, its name or folder, or a function from texts
                to vectors; None is the model that ships with longctx. It is loaded at the first
                question.

        Raises:
            DocumentError: there is no document, or one holds no text.
        """
        if not documents:
            raise DocumentError("there is no document to search; pass at least one")
        retriever = cls(k=k)
        retriever._library = Library(count, as_embedder(embedder))
        made = to_longctx_documents(documents)
        incoming = [Incoming(document, (document.doc_id,)) for document in made]
        retriever._library.put(incoming, replace=False)
        for document, given in zip(made, documents, strict=True):
            retriever._metadata[document.doc_id] = dict(given.metadata)
        return retriever

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        entries, _ = once(self._library.holdings().entries)
        ranked = [found.chunk for found in self._library.found(entries, query)]
        return [
            Document(
                page_content=chunk.text,
                id=f"{chunk.document.doc_id}:{chunk.start}-{chunk.end}",
                metadata={
                    **self._metadata[chunk.document.doc_id],
                    "doc_id": chunk.document.doc_id,
                    "start": chunk.start,
                    "end": chunk.end,
                    "headings": list(chunk.document.headings_at(chunk.start)),
                    "tokens": chunk.tokens,
                },
            )
            for chunk in ranked[: self.k if k is None else k]
        ]
