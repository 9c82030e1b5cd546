"""Two rankings, fused by reciprocal rank."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from longctx.documents import Document
from longctx.documents.chunks import Chunk
from longctx.documents.ranking import Found, Ranking
from longctx.errors import MissingExtraError
from longctx.search.embedders import as_embedder

TEXTS = ["the ship sails on Monday", "Die Sonne scheint", "invoice 4711 is open", "\u2014"]


def ranking(texts: list[str], vectors: list[list[float]], question: list[float]) -> Ranking:
    """A ranking whose meanings are given."""
    chunks = [
        Chunk(Document(doc_id=str(i), text=text), 1, 0, len(text), 5)
        for i, text in enumerate(texts)
    ]
    rows = np.asarray(vectors, dtype=np.float32)
    return Ranking(chunks, rows, as_embedder(lambda texts: [question] * len(texts)))


def order(ranked: list[Found]) -> list[int]:
    """The chunks by the numbers of their documents."""
    return [int(found.chunk.document.doc_id) for found in ranked]


def test_words_break_the_tie_of_meanings():
    """An identifier that an embedder knows nothing of is found by its letters."""
    found = ranking(TEXTS, [[1, 0]] * 4, [1, 0]).best_first("What about INVOICE 4711?")
    assert order(found)[0] == 2


def test_meaning_decides_where_no_word_is_shared():
    """Chunks that share no word gain nothing by it."""
    vectors = [[0, 1], [1, 0], [0.6, 0.8], [0, 1]]
    found = ranking(TEXTS, vectors, [1, 0]).best_first("weather")
    assert order(found) == [1, 2, 0, 3]


def test_both_rankings_count_by_reciprocal_rank():
    """Second in both beats first in one and last in the other (Cormack et al. 2009)."""
    texts = ["alpha alpha alpha", "alpha beta", "gamma", "delta"]
    vectors = [[0, 1], [0.9, 0.436], [1, 0], [0.5, 0.866]]
    assert order(ranking(texts, vectors, [1, 0]).best_first("alpha"))[0] == 1


def test_chinese_is_searched_by_characters():
    """A script without spaces is not one long word."""
    texts = ["\u4e59\u65b9\u4e0d\u540c\u610f", "\u4eca\u5929\u5929\u6c14\u5f88\u597d"]
    found = ranking(texts, [[1, 0]] * 2, [1, 0]).best_first("\u5929\u6c14\uff1f")
    assert order(found) == [1, 0]


@pytest.mark.parametrize("question", ["", "?!", "\u2014"])
def test_a_question_without_words_is_ranked_by_meaning(question):
    """Nothing to look up is no error."""
    assert order(ranking(TEXTS, [[1, 0], [0, 1], [0, 1], [0, 1]], [0, 1]).best_first(question))[0]


def test_missing_bm25s_names_the_extra(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingExtraError, match=r"longctx-sdk\[rag\]"):
        ranking(TEXTS, [[1, 0]] * 4, [1, 0])
