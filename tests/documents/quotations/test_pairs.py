"""The table of quotations: true, false and near ones, in many languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longctx.documents import Document
from longctx.documents.citations import Sources
from longctx.documents.layout import document_block
from longctx.documents.quotations.spoken import Spoken

TABLE = json.loads((Path(__file__).parent / "pairs.json").read_text(encoding="utf-8"))
PAIRS = [(group["language"], group["text"], *pair) for group in TABLE for pair in group["pairs"]]


def status(text: str, quotation: str) -> str:
    """How a quotation is judged."""
    sources = Sources([document_block(Document(doc_id="text", text=text), "D1")])
    (citation,) = sources.judge(Spoken(quotation, marks=(), is_quotation=True))
    if citation.verified:
        assert text[citation.start : citation.end] == citation.quote
    return citation.status


@pytest.mark.parametrize(("language", "text", "kind", "expected", "quotation"), PAIRS)
def test_each_is_judged_rightly(language, text, kind, expected, quotation):
    """Verified, near or absent; a verified one is a span of the text."""
    assert status(text, quotation) == expected


def test_the_table_is_wide():
    """At least 200 pairs over ten kinds and six languages, a good share of each verdict."""
    assert len(PAIRS) >= 200
    assert len({kind for _, _, kind, _, _ in PAIRS}) >= 10
    assert len({language for language, *_ in PAIRS}) >= 6
    verdicts = [expected for _, _, _, expected, _ in PAIRS]
    assert min(map(verdicts.count, ("verified", "near", "absent"))) >= 40


def test_no_quotation_is_verified_in_the_text_of_another_language():
    """The table against itself: what was not written there is not found there."""
    for group in TABLE:
        for language, text, _, _, quotation in PAIRS:
            if language != group["language"] and len(quotation) > 12:
                assert status(group["text"], quotation) != "verified", (quotation, text)
