"""Where the words of a quotation stand in a text, from the beginning of one to the end of one."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate

import regex

from longctx.documents.quotations.words import Words, is_same, quoted_words, words_of

_PIECE = 2048
_MOST_PARTS = 8
# More than what holds a word together; what the edge of a piece cuts stands whole in it.
_MARGIN = 64
_DOUBTFUL = 16
# A footnote's number, signs of trade marks, apostrophes that count as letters: none of the text.
_SKIPPED = regex.compile(
    r"(?<=\p{L}{3})[\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u207b]+"
    r"|[\u00ae\u2122\u2120\u02bc\u02b9]"
)


@dataclass(frozen=True)
class Quotation:
    """What is looked for: its words, and its letters and digits alone."""

    words: Words
    letters: str

    @classmethod
    def of(cls, text: str) -> Quotation | None:
        """None where a text has no words."""
        words, letters = quoted_words(text), _letters(text)
        return cls(words, letters) if words.keys and letters else None


class Searched:
    """A text that quotations are looked for in.

    Its letters and digits alone are searched, at the speed of ``str.find``; only where they are
    found is the text taken apart into words, and compared exactly.

    Args:
        text: of a document.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        pieces = [_letters(text[i : i + _PIECE]) for i in range(0, len(text), _PIECE)]
        self._letters = "".join(pieces)
        self._begins = [0, *accumulate(map(len, pieces))]
        self._words: dict[tuple[int, int], Words] = {}

    def find(self, quotation: Quotation, start: int, end: int) -> tuple[int, int] | None:
        """The first place within a span that says the same, as offsets; None where none does."""
        for first, last in self._candidates(quotation.letters, start, end):
            words = self._words_of(first, last)
            for i in _places(quotation.words.keys, words.keys):
                found = words[i : i + len(quotation.words)]
                is_inside = start <= found.starts[0] and found.ends[-1] <= end
                if is_inside and is_same(quotation.words, found):
                    return found.starts[0], found.ends[-1]
        return None

    def likely(self, quotation: Quotation, start: int, end: int, *, without: int) -> list[Words]:
        """Parts of a span that have all of a quotation's words but so many, in any order: a few,
        those that have the most of them."""
        first, last = start // _PIECE, max(start, end - 1) // _PIECE
        wanted = {letters for key in quotation.words.keys if (letters := _letters(key))}
        reach = 1 + len(quotation.letters) // _PIECE
        least = len(wanted) - without
        found = [
            (count, piece)
            for piece in range(first, max(first, last - reach) + 1)
            if (count := self._count(wanted, piece, min(piece + reach, last))) >= least
        ]
        best = sorted(sorted(found, key=lambda one: -one[0])[:_MOST_PARTS], key=lambda one: one[1])
        parts = [self._words_of(piece, min(piece + reach, last)) for _, piece in best]
        return [w[bisect_left(w.starts, start) : bisect_right(w.ends, end)] for w in parts]

    def _count(self, wanted: Collection[str], first: int, last: int) -> int:
        letters = self._letters[self._begins[first] : self._begins[last + 1]]
        return sum(word in letters for word in wanted)

    def _candidates(self, letters: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of pieces in which the letters stand, each as its first and its last."""
        piece = start // _PIECE
        last_piece = max(start, end - 1) // _PIECE
        stop = self._begins[last_piece + 1]
        while (place := self._letters.find(letters, self._begins[piece], stop)) >= 0:
            piece = bisect_right(self._begins, place) - 1
            # As far as what begins in this piece can reach.
            reach = min(self._begins[piece + 1] - 1 + len(letters), stop) - 1
            yield piece, bisect_right(self._begins, reach) - 1
            piece += 1
            if piece > last_piece:
                return

    def _words_of(self, first: int, last: int) -> Words:
        """The words of a run of pieces, and those at its edges that are whole."""
        if (first, last) not in self._words:
            start = max(0, first * _PIECE - _MARGIN)
            end = min(len(self._text), (last + 1) * _PIECE + _MARGIN)
            words = words_of(self._text[start:end], start)
            # At a cut may stand halves of a word: "480" of "480 000", or "5" of "-5".
            a = bisect_left(words.starts, start + _DOUBTFUL) if start else 0
            b = bisect_right(words.ends, end - _DOUBTFUL) if end < len(self._text) else None
            words = words[a:b]
            self._words[first, last] = words
        return self._words[first, last]


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", _SKIPPED.sub("", text)).casefold()
    return "".join(filter(str.isalnum, plain))


def _places(looked_for: list[str], keys: list[str]) -> Iterator[int]:
    """Where a sequence stands in another."""
    n = len(looked_for)
    i = -1
    while True:
        try:
            i = keys.index(looked_for[0], i + 1, len(keys) - n + 1)
        except ValueError:
            return
        if keys[i : i + n] == looked_for:
            yield i
