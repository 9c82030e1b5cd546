"""What of an answer is a quotation, and which marks stand behind it."""

from __future__ import annotations

import pytest

from longctx.documents.quotations.spoken import spoken_in


@pytest.mark.parametrize(
    ("answer", "quotations"),
    [
        ('It says "a b" and “c d”.', ["a b", "c d"]),
        ("„a b“ »c d« «e f» ‹g h› 「同意」 『いや』", ["a b", "c d", "e f", "g h", "同意", "いや"]),
        ("It says ‘the seller’s risk’.", ["the seller’s risk"]),
        ("It says 'the seller's risk'.", ["the seller's risk"]),
        ('乙方说"不同意"。', ["不同意"]),
        ("Han sade ”ja tack”.", ["ja tack"]),
        ('The 5" pipe and the 6" pipe', []),
        ("The sellers' and the buyers' duties don't differ.", []),
        ('An open " mark', []),
        ('One " mark.\n\nAnd another " in the next paragraph', []),
        ('{"key": "a value"}', ["a value"]),
        ('{"key": ["a", {"b": "c d"}], "n": 5}', ["a", "c d"]),
        ('Cut off: {"key": "a value", "other": 5', ["a value"]),
        (r'{"said": "he says \"a b\" so"}', ["a b"]),
        ('He said: "a b": so', ["a b"]),
    ],
)
def test_quotations(answer, quotations):
    """Marks of all languages; inches, apostrophes, lone marks and keys of JSON are none."""
    assert [one.words for one in spoken_in(answer) if one.is_quotation] == quotations


@pytest.mark.parametrize(
    ("answer", "marks"),
    [
        ('"a b" [D1]', ("D1",)),
        ('"a b" [D1][D2.3]', ("D1", "D2.3")),
        ('"a b" [D1, D2 and D3].', ("D1", "D2", "D3")),
        ('"a b" (see 【D12】)', ("D12",)),
        ('"a b [D4]"', ("D4",)),
        ('"a b". [D1] And [D2]', ("D1",)),
        ('"a b". And so on [D2].', ()),
        ('"a b"', ()),
    ],
)
def test_marks(answer, marks):
    """Those that stand together in the sentence, once each."""
    assert spoken_in(answer)[0].marks == marks


def test_names_of_documents_are_no_quotations():
    """In quotation marks, or as a value of JSON."""
    assert not any(one.is_quotation for one in spoken_in('See "a.txt".', {"a.txt"}))
    assert spoken_in('{"document": "a.txt", "mark": "D1"}', {"a.txt"}) == []
