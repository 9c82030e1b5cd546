"""Documents for an agent: a tool that searches them, and what fits the user's words beside them.

Either way the passages are part of the conversation, and its archive finds them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from longctx import arguments
from longctx.agents.settings import Background
from longctx.agents.tools import Tool
from longctx.search.passages import MAX_CHARACTERS, passages_of

NOTHING = "Nothing in the documents is near that; try other words."
_LONGEST_LABEL = 60


class FoundPassage(Protocol):
    """A part of a document; :class:`longctx.documents.Hit` is one."""

    @property
    def doc_id(self) -> str:
        """The document's name."""

    @property
    def text(self) -> str:
        """As it stands there."""

    @property
    def page(self) -> int | None:
        """Where it has pages."""

    @property
    def similarity(self) -> float:
        """To the query, by meaning."""


class SearchesDocuments(Protocol):
    """Finds parts of documents; :class:`longctx.documents.DocumentQA` does."""

    def search(self, query: str, *, limit: int) -> Sequence[FoundPassage]:
        """The parts that fit a query best, the best first."""


def document_tool(documents: SearchesDocuments, name: str = "search_documents") -> Tool:
    """A tool by which a model finds passages of documents: ``search_documents(query, n)``.

    Args:
        documents: such as a :class:`longctx.documents.DocumentQA`.
        name: of the tool, where an agent has several.
    """

    def search_documents(query: str, n: Annotated[int, Field(ge=1, le=10)] = 3) -> str:
        """Find passages of the documents that fit a query."""
        return _labelled(documents.search(query, limit=n)) or NOTHING

    search_documents.__name__ = name
    return Tool(search_documents)


def document_background(
    documents: SearchesDocuments, *, n: int = 3, min_similarity: float = 0.3
) -> Background:
    """For ``Agent(background=…)``: what of documents fits the user's words, put behind them.

    Args:
        documents: such as a :class:`longctx.documents.DocumentQA`.
        n: passages of a turn, at most.
        min_similarity: cosine of words and passage below which a passage is left out.

    Raises:
        RequestError: a limit is out of its range.
    """
    n = arguments.whole("n", n, least=1)
    min_similarity = arguments.real("min_similarity", min_similarity, least=-1, most=1)

    def found(words: str) -> str:
        hits = documents.search(words, limit=n)
        return _labelled([hit for hit in hits if hit.similarity >= min_similarity])

    return found


def _labelled(hits: Sequence[FoundPassage]) -> str:
    """Passages as an archive holds them, each with the name of its document."""
    parts: list[str] = []
    for hit in hits:
        page = "" if hit.page is None else f", page {hit.page}"
        label = f"[{' '.join(hit.doc_id.split())[:_LONGEST_LABEL]}{page}] "
        size = MAX_CHARACTERS - len(label)
        # A blank line parts passages, and so none stands in one.
        lines = "\n".join(line for line in hit.text.splitlines() if line.strip())
        parts += (f"{label}{part.strip()}" for part in passages_of(lines, size) if part.strip())
    return "\n\n".join(parts)
