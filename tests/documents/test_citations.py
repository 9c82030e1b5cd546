"""Citations are checked against the text, and unverified ones are shown as such."""

import pytest

from longctx.documents import Citation, Document, Page
from longctx.documents.citations import find_citations as find_in_blocks
from longctx.documents.layout import Block, document_block, passage_block

CONTRACT = Document(
    doc_id="contract",
    text="Until delivery the seller\nbears the risk. "
    "Damage (fire, water) is\n  insured. 乙方不同意该条款。",
)
LETTER = Document(doc_id="letter", text="We agree that the seller bears the risk, as before.")


def find_citations(answer: str, documents: list[Document]) -> tuple[Citation, ...]:
    """Citations of an answer from whole documents, D1, D2, …"""
    blocks = [document_block(d, f"D{i}") for i, d in enumerate(documents, start=1)]
    return find_in_blocks(answer, blocks)


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
    ['It says "we never agreed".', 'It says "eller bears the ris".', 'It says "isk".'],
)
def test_what_does_not_stand_there_is_flagged(answer):
    """An invented quotation and parts of words are returned as not verified."""
    (citation,) = find_citations(answer, [CONTRACT])
    assert citation.status == "absent"
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


@pytest.mark.parametrize(
    ("answer", "mark", "doc_id"),
    [
        ('It says "the seller bears the risk" [D2].', "D2", "letter"),
        ('It says "the seller bears the risk." [D1] That is all.', "D1", "contract"),
        ('"the seller bears the risk" (see [D1.3])', "D1.3", "contract"),
        ("We agree that the seller bears the risk [D2].", "D2", "letter"),
        ("We agree that the seller bears the risk, as before. [D2] More.", "D2", "letter"),
    ],
)
def test_a_mark_says_which_document(answer, mark, doc_id):
    """The words are looked for where the answer says that they stand."""
    (citation,) = find_citations(answer, [CONTRACT, LETTER])
    assert (citation.verified, citation.mark, citation.doc_id) == (True, mark, doc_id)


def test_each_quotation_has_the_mark_behind_it():
    """Of two quotations in one sentence each is checked against its own source."""
    answer = 'Both "Damage (fire, water) is insured" [D1] and "as before" [D2] stand there.'
    assert [(c.quote, c.mark, c.verified) for c in find_citations(answer, [CONTRACT, LETTER])] == [
        ("Damage (fire, water) is\n  insured", "D1", True),
        ("as before", "D2", True),
    ]


def test_words_of_another_document_are_flagged_and_located():
    """A true quotation behind a false mark is not verified, and points to where it stands."""
    (citation,) = find_citations('"Damage (fire, water)" [D2]', [CONTRACT, LETTER])
    assert (citation.verified, citation.mark, citation.doc_id) == (False, "D2", "contract")
    assert CONTRACT.text[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize(
    ("answer", "quote", "mark", "doc_id"),
    [
        ("The buyer pays for everything [D2].", "The buyer pays for everything.", "D2", "letter"),
        ('"never said" [D1]', "never said", "D1", "contract"),
        ('"never said" [D9]', "never said", "D9", None),
    ],
)
def test_what_a_mark_does_not_support_is_returned_and_flagged(answer, quote, mark, doc_id):
    """A claim in other words, an invented quotation, and a source that was not there."""
    (citation,) = find_citations(answer, [CONTRACT, LETTER])
    assert (citation.quote, citation.mark, citation.doc_id) == (quote, mark, doc_id)
    assert not citation.verified
    assert citation.start is None


@pytest.mark.parametrize("marks", ["[D1][D2]", "[D1, D2]", "[D1] [D2]", "[D1; D2]", "【D1、D2】"])
@pytest.mark.parametrize("said", ['"the seller bears the risk"', "The seller bears the risk"])
def test_every_mark_is_judged(said, marks):
    """Both documents have it; a third that was named, too, has not."""
    citations = find_citations(f"{said} {marks}.", [CONTRACT, LETTER])
    assert [(c.mark, c.doc_id, c.status) for c in citations] == [
        ("D1", "contract", "verified"),
        ("D2", "letter", "verified"),
    ]
    other = Document(doc_id="other", text="Nothing of it.")
    (*_, third) = find_citations(f"{said} [D1][D2][D3].", [CONTRACT, LETTER, other])
    assert (third.mark, third.status) == ("D3", "elsewhere")


def test_a_near_miss_says_how_near_and_where():
    """It is not verified; its words are the answer's, its place the document's."""
    (citation,) = find_citations('"until delivery the buyer bears the risk"', [CONTRACT])
    assert (citation.status, citation.verified, citation.differs_in) == ("near", False, 1)
    place = CONTRACT.text[citation.start : citation.end]
    assert place == "Until delivery the seller\nbears the risk"
    assert citation.verdict == "NOT VERIFIED: what stands there differs in 1 word"


def test_what_was_left_out_parts_a_quotation():
    """Words around an ellipsis are judged each by themselves, where they do not stand as one."""
    answer = '"until delivery … bears the risk" [D1] and "Damage [...] is stolen" [D1]'
    assert [(c.quote, c.status) for c in find_citations(answer, [CONTRACT])] == [
        ("Until delivery", "verified"),
        ("bears the risk", "verified"),
        ("Damage", "verified"),
        ("is stolen", "absent"),
    ]


def test_values_of_json_are_quotations_and_keys_are_none():
    """Also where the JSON is cut off, and with marks among the values."""
    answer = '{"risk": "the seller bears the risk", "doc": ["D1", "contract", "no such words"]}'
    expected = [("the seller\nbears the risk", True), ("no such words", False)]
    for text in (answer, f"```json\n{answer}\n```"):
        found = find_citations(text, [CONTRACT])
        assert [(c.quote, c.verified) for c in found] == expected
    (citation,) = find_citations('{"risk": "the seller bears", "doc', [CONTRACT])
    assert (citation.quote, citation.verified) == ("the seller\nbears", True)
    (citation,) = find_citations('The object {"risk": "as before", "n": 5} is it.', [LETTER])
    assert (citation.quote, citation.verified) == ("as before", True)


def test_a_quotation_of_several_sentences_is_one():
    """Full stops inside the quotation marks do not end it."""
    text = "The first holds. The second does not."
    document = Document(doc_id="a", text=text)
    (citation,) = find_citations(f'It says "{text}" [D1].', [document])
    assert (citation.verified, citation.start, citation.mark) == (True, 0, "D1")


def test_the_passage_that_was_read_comes_before_the_rest_of_its_document():
    """Words that stand twice are cited where the model saw them, with their page."""
    text = "The fee is 5 euros. Page two. The fee is 5 euros."
    pages = (Page(number=1, start=0, end=20), Page(number=2, start=20, end=len(text)))
    document = Document(doc_id="a", text=text, pages=pages)
    passage: Block = passage_block(document, "D1.2", 20, len(text))
    (citation,) = find_in_blocks('"The fee is 5 euros"', [passage])
    assert (citation.start, citation.page) == (30, 2)
