"""Searching documents: in which order their parts fit a question, and how near they come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.documents.absence import asks_for_a_fact, is_strange, least_relevance
from longctx.documents.answer import Hit
from longctx.documents.chunks import Chunk
from longctx.documents.entry import Entry
from longctx.documents.languages import language_of
from longctx.documents.library import Library
from longctx.documents.ranking import Found
from longctx.documents.reranking import Reranker, reranked
from longctx.protocols import Embedder
from longctx.recent import Recent
from longctx.search.embedders import SentenceTransformersEmbedder
from longctx.types import ProgressCallback

MULTILINGUAL = "intfloat/multilingual-e5-small"
# Sentences of so many chunks are compared with the question by themselves.
_LOOKED_AT = 8
_KEPT_BYTES = 1 << 24  # of their vectors
# Documents whose language is looked at: they tell what a library is written in.
_MOST_LANGUAGES = 100
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[\u3002\uff01\uff1f])")
# Models that were trained on many languages say so by their names.
_MULTILINGUAL = re.compile(r"multilingual|\be5|bge-m3|labse|xlm|distiluse|jina-embeddings-v3", re.I)


@dataclass(frozen=True)
class SearchResult:
    """What was found, the best first.

    ``relevance`` is the best sentence's cosine; None where there is no scale for it, and
    ``is_there`` whether it is enough. ``notes`` say what may have gone wrong.
    """

    found: list[Found]
    relevance: float | None
    is_there: bool
    notes: tuple[str, ...]


class Search:
    """Ranks the chunks of documents.

    Args:
        library: the documents.
        embedder: that the library ranks with.
        reranker: looks at the best again; None is none.
        min_relevance: below it nothing was found; None is what is known of the packaged embedder
            in English, and otherwise none.
    """

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        reranker: Reranker | None,
        min_relevance: float | None,
    ) -> None:
        self._library = library
        self._embedder = embedder
        self._reranker = reranker
        self._min_relevance = min_relevance
        self._sentences: Recent[str, NDArray[np.float32]] = Recent(
            _KEPT_BYTES, lambda text, vectors: len(text) + vectors.nbytes
        )

    def find(
        self, entries: Sequence[Entry], query: str, on_progress: ProgressCallback | None = None
    ) -> SearchResult:
        """All chunks of some documents.

        Args:
            entries: the documents.
            query: what is searched for.
            on_progress: called while documents are embedded, with their tokens.
        """
        found = self._library.found(entries, query, on_progress)
        notes = self._notes(entries, query)
        relevance, is_there = None, True
        if self._min_relevance is not None:
            relevance = self._relevance(found, query)
            is_there = relevance >= self._min_relevance
        elif self._name is None and not notes:
            relevance = self._relevance(found, query)
            is_there = relevance >= least_relevance(query) or not is_strange(
                query, (one.chunk.searchable for one in found)
            )
        if self._reranker is not None:
            found = reranked(self._reranker, query, found)
        return SearchResult(found, relevance, is_there, notes)

    def is_in_doubt(self, entries: Sequence[Entry], question: str) -> bool:
        """Whether a question for a fact names what no document names, so that a search is worth
        its while before the model is asked. Costs no embedding."""
        return (
            self._min_relevance is None
            and self._name is None
            and asks_for_a_fact(question)
            and is_strange(question, (_all_words_of(entry) for entry in entries))
        )

    def _relevance(self, found: Sequence[Found], query: str) -> float:
        nearest = sorted(found, key=lambda one: -one.similarity)[:_LOOKED_AT]
        asked = self._embedder.embed([query])[0]
        best = max(float((self._vectors(one.chunk) @ asked).max()) for one in nearest)
        return max(0.0, best)

    def _vectors(self, chunk: Chunk) -> NDArray[np.float32]:
        """Of a chunk's sentences, or of the whole where it has none."""
        if (vectors := self._sentences.get(chunk.searchable)) is None:
            sentences = [s for s in _SENTENCE.split(chunk.text) if any(map(str.isalnum, s))]
            vectors = self._embedder.embed(sentences or [chunk.searchable])
            self._sentences.put(chunk.searchable, vectors)
        return vectors

    @property
    def _name(self) -> str | None:
        """Of the embedder: None is the packaged one, "" a function."""
        embedder = self._embedder
        return embedder.name if isinstance(embedder, SentenceTransformersEmbedder) else ""

    def _notes(self, entries: Sequence[Entry], query: str) -> tuple[str, ...]:
        """What the languages of question and documents mean for the search."""
        name = self._name
        if name and _MULTILINGUAL.search(name):
            return ()
        asked = language_of(query)
        written = {language_of(entry.document.text) for entry in entries[:_MOST_LANGUAGES]}
        if name is None:
            strange = {*written, asked} - {None, "English"}
            what = "the packaged embedder knows English alone, and here is"
        else:
            strange = written - {None, asked} if asked else set()
            what = f"the question is in {asked}, and the embedder must also know"
        if not strange:
            return ()
        languages = " and ".join(sorted(map(str, strange)))
        return (f"{what} {languages}; embedder={MULTILINGUAL!r} is one of many languages",)


def _all_words_of(entry: Entry) -> str:
    return f"{entry.document.title or ''}\n{entry.document.text}"


def hit(found: Found) -> Hit:
    """What was found, for those who search."""
    chunk = found.chunk
    headings = chunk.document.headings_at(chunk.start)
    return Hit(
        doc_id=chunk.document.doc_id,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        page=chunk.document.page_at(chunk.start),
        heading=headings[-1] if headings else None,
        score=found.score,
        similarity=found.similarity,
    )
