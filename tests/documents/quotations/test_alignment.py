"""Texts that are longer than the pieces in which they are searched."""

from __future__ import annotations

import random

from longctx.documents.quotations.alignment import Quotation, Searched
from longctx.documents.quotations.near import nearest

WORDS = ["480 000", "-5 %", "non-refundable", "ef-\nficient", "10²", "risk", "é", "seller's"]


def find(text: Searched, words: str, start: int, end: int) -> tuple[int, int] | None:
    """Where they stand in a span."""
    quotation = Quotation.of(words)
    assert quotation is not None
    return text.find(quotation, start, end)


def test_every_span_of_a_long_text_is_found_where_it_stands():
    """Wherever the text is cut into pieces to be searched."""
    chosen = random.Random(4)
    parts = [chosen.choice(WORDS) if i % 2 else chosen.choice("abc") for i in range(1500)]
    starts = [sum(len(part) + 1 for part in parts[:i]) for i in range(len(parts))]
    text = " ".join(parts)
    searched = Searched(text)
    for i in range(len(parts) - 5):
        start, end = starts[i], starts[i + 4] - 1
        assert find(searched, text[start:end], start, end) == (start, end)


def test_where_a_text_is_cut_no_word_is():
    """Halves of a number or a word at the edge of a piece are not found."""
    for before in range(1990, 2060):
        text = f"{'x' * before} 480 000 euros -5 % {'y' * 4000}"
        searched = Searched(text)
        assert find(searched, "480 000 euros -5 %", 0, len(text))
        for half in ("480", "000 euros", "5 %", "-5", "x", "y"):
            assert find(searched, half, 0, len(text)) is None


def test_the_nearest_place_of_a_long_text():
    """The one that differs least, within the span that was read."""
    filler = "Nothing of this kind is said here at all. " * 300
    first = "Before delivery the buyer bears all risk of loss. "
    second = "Until delivery the seller bears all risk of loss. "
    text = filler + first + filler + second + filler
    quotation = Quotation.of("until delivery the seller bears no risk of loss")
    assert quotation is not None
    near = nearest(quotation, Searched(text), 0, len(text))
    assert near is not None
    assert (text[near.start : near.end], near.differs_in) == (second.strip(" ."), 1)
    assert nearest(quotation, Searched(text), 0, len(filler)) is None
