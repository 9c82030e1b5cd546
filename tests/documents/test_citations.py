"""Citations are checked against the text, and unverified ones are shown as such."""

import pytest

from longctx.documents import Document
from longctx.documents.citations import find_citations

CONTRACT = Document(
    doc_id="contract",
    text="Until delivery the seller\nbears the risk. "
    "Damage (fire, water) is\n  insured. 乙方不同意该条款。",
)
LETTER = Document(doc_id="letter", text="We agree that the seller bears the risk, as before.")


@pytest.mark.parametrize(
    ("answer", "quotes"),
    [
        ('It says "the seller bears the risk."', ["the seller\nbears the risk"]),
        ("It says “the  seller bears the risk”.", ["the seller\nbears the risk"]),
        ("Es heißt „the seller bears the risk“.", ["the seller\nbears the risk"]),
        ("Il dit «Damage (fire, water) is insured».", ["Damage (fire, water) is\n  insured"]),
        ('乙方说 "不同意"。', ["不同意"]),
        ('It is "(fire, water)".', ["(fire, water)"]),
        ("Damage (fire, water) is insured. That is all.", ["Damage (fire, water) is\n  insured"]),
        (
            '"Until delivery the seller bears the risk."',
            ["Until delivery the seller\nbears the risk"],
        ),
    ],
)
def test_what_stands_in_a_document_is_verified(answer, quotes):
    """White space and the closing stop aside; the offsets give the quote back."""
    citations = find_citations(answer, [CONTRACT])
    assert [c.quote for c in citations] == quotes
    for citation in citations:
        assert citation.verified
        assert citation.doc_id == "contract"
        assert CONTRACT.text[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize(
    "answer",
    ['It says "the buyer bears the risk".', 'It says "eller bears the ris".', 'It says "Risk".'],
)
def test_what_does_not_stand_there_is_flagged(answer):
    """An invented quotation, part of a word, or other capitals are returned as not verified."""
    (citation,) = find_citations(answer, [CONTRACT])
    assert not citation.verified
    assert (citation.doc_id, citation.start, citation.end) == (None, None, None)


@pytest.mark.parametrize(
    "answer", ["", "The seller does.", 'See the "contract".', '""', '"..."', 'An open " quote']
)
def test_no_claim_no_citation(answer):
    """Words of its own, and quotation marks around nothing, cite nothing."""
    assert find_citations(answer, [CONTRACT]) == ()


def test_the_first_document_is_cited_once():
    """Documents are searched in order, and one place is one citation."""
    answer = '"bears the risk" and again "bears the risk"'
    (citation,) = find_citations(answer, [LETTER, CONTRACT])
    assert citation.doc_id == "letter"


def test_pattern_characters_are_only_characters():
    """A quotation is no regular expression."""
    (citation,) = find_citations('"(.*)+ [a-z]?"', [CONTRACT])
    assert not citation.verified
