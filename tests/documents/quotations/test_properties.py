"""Any span of whole words is found however it is spelled, and none with a changed number."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longctx.documents import Document
from longctx.documents.citations import Sources
from longctx.documents.layout import document_block
from longctx.documents.quotations.spoken import Spoken

WORDS = [
    "seller's", "classification", "offers", "non-refundable", "Übergabe", "delivery", "l'été",
    "Straße", "покупатель", "несёт", "(fire)", "don't", "co-op", "naïve", "e-mail", "the", "risk",
    "乙方", "同意", "引渡し", "위험을", "مخاطر", "जोखिम", "\"Annex\"", "C++", "A4", "pay;", "is",
]  # fmt: skip
NUMBERS = [
    "480,000",
    "-5%",
    "+3",
    "12.500,75",
    "10²",
    "1½",
    "2024-05-09",
    "≤40",
    "$1,250.75",
    "7",
    "480 000",
]

APOSTROPHES = "'’ʼ′＇"
QUOTES = '"“”„«»「」'
SPACES = [" ", "  ", "\n", "\u00a0", "\t", " \n  ", "\u2009", "\u3000"]
INNER_SPACES = " \u00a0\u202f\u2009"
HYPHENS = "-‐‑–"
MINUSES = "-−–"
BREAKS = ["\u00ad", "-\n", "\u00ad\n", "‐ \n "]
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
LIGATURES = {"ffi": "ﬃ", "ff": "ﬀ", "fi": "ﬁ", "ffe": "ﬀe"}


@dataclass(frozen=True)
class Respelling:
    """One of the ways in which a text's writer or a model may write words."""

    random: Random

    def word(self, word: str, *, breaks: bool) -> str:
        """Letters stay; what stands for them may change."""
        for letters, ligature in LIGATURES.items():
            if letters in word and self.random.random() < 0.5:
                word = word.replace(letters, ligature)
        if self.random.random() < 0.5:
            word = unicodedata.normalize("NFD", word)
        word = "".join(map(self._symbol, word))
        return self._broken(word) if breaks and self.random.random() < 0.5 else word

    def number(self, number: str) -> str:
        """Digits and separators stay; signs, spaces and widths may be of another kind."""
        if number[0] == "-" and number[1].isdigit():
            number = self.random.choice(MINUSES) + number[1:]
        if number.endswith("%") and self.random.random() < 0.5:
            number = f"{number[:-1]}{self.random.choice(INNER_SPACES)}%"
        number = number.replace(" ", self.random.choice(INNER_SPACES))
        if number.isascii() and self.random.random() < 0.3:
            return number.translate(FULL_WIDTH)
        return number

    def written(self, parts: list[str], *, breaks: bool) -> str:
        """Words and numbers with white space of any kind and length in between."""
        spelled = [
            self.number(part) if part in NUMBERS else self.word(part, breaks=breaks)
            for part in parts
        ]
        spaces = [self.random.choice(SPACES) for _ in spelled[1:]] + [""]
        return "".join(map(str.__add__, spelled, spaces))

    def _broken(self, word: str) -> str:
        """A soft hyphen, or one at the end of a line, between two plain letters."""
        places = [i for i in range(2, len(word) - 1) if is_plain(word[i - 1 : i + 1])]
        if not places:
            return word
        i = self.random.choice(places)
        return word[:i] + self.random.choice(BREAKS) + word[i:]

    def _symbol(self, c: str) -> str:
        return next((self.random.choice(k) for k in (APOSTROPHES, QUOTES, HYPHENS) if c == k[0]), c)


def is_plain(word: str) -> bool:
    """Whether it is of a to z."""
    return word.isascii() and word.isalpha()


@dataclass(frozen=True)
class Span:
    """A text as it was printed, and the words of it that are quoted."""

    random: Random
    parts: list[str]
    start: int
    end: int

    @property
    def source(self) -> str:
        """The text."""
        return Respelling(self.random).written(self.parts, breaks=True)

    def quoted(self, changed: dict[int, str] | None = None) -> str:
        """The quotation, some of its words changed."""
        parts = [(changed or {}).get(i, self.parts[i]) for i in range(self.start, self.end)]
        return Respelling(self.random).written(parts, breaks=False)


@st.composite
def spans(draw: st.DrawFn, *, of: list[str] | None = None) -> Span:
    """Words with numbers among them, never two numbers side by side; the span has one ``of``."""
    random = draw(st.randoms(use_true_random=False))
    parts: list[str] = [random.choice(WORDS)]
    for _ in range(draw(st.integers(1, 20))):
        parts += [random.choice(NUMBERS + WORDS), random.choice(WORDS)]
    kept = random.randrange(len(parts))
    if of:
        parts[kept : kept + 1] = [random.choice(WORDS), random.choice(of), random.choice(WORDS)]
        kept += 1
    return Span(random, parts, random.randint(0, kept), random.randint(kept + 1, len(parts)))


def judged(source: str, quotation: str) -> str:
    """The status of one quotation."""
    sources = Sources([document_block(Document(doc_id="d", text=source), "D1")])
    (citation,) = sources.judge(Spoken(quotation, marks=(), is_quotation=True))
    if citation.verified:
        assert source[citation.start : citation.end] == citation.quote
    return citation.status


@settings(max_examples=200, deadline=None)
@given(spans())
def test_whole_words_are_found_however_they_are_spelled(span):
    """Ligatures, line ends, marks, dashes and white space of any kind, in text and quotation."""
    source, quotation = span.source, span.quoted()
    assert judged(source, quotation) == "verified", (source, quotation)


@settings(max_examples=200, deadline=None)
@given(spans(of=NUMBERS))
def test_a_changed_number_is_never_verified(span):
    """A digit changed, left out or added; a sign or a percent sign left out."""
    source = span.source
    numbers = [i for i in range(span.start, span.end) if span.parts[i] in NUMBERS]
    i = span.random.choice(numbers)
    number = span.parts[i]
    at = span.random.choice([at for at, c in enumerate(number) if c in "0123456789+-≤%"])
    changed = ""
    if number[at].isdigit():
        digit = span.random.choice([d for d in "0123456789" if d != number[at]])
        changed = span.random.choice([digit, "", digit + number[at], number[at] + digit])
    other = number[:at] + changed + number[at + 1 :]
    assume(any(map(str.isdecimal, other)) and other not in NUMBERS)
    quotation = span.quoted({i: other})
    assert judged(source, quotation) != "verified", (source, quotation)


@settings(max_examples=200, deadline=None)
@given(spans(of=[word for word in WORDS if is_plain(word) and len(word) > 3]))
def test_a_cut_word_is_never_verified(span):
    """A letter fewer at its beginning or its end."""
    source = span.source
    words = [i for i in range(span.start, span.end) if is_plain(span.parts[i])]
    i = span.random.choice([i for i in words if len(span.parts[i]) > 3])
    word = span.parts[i]
    quotation = span.quoted({i: span.random.choice([word[1:], word[:-1]])})
    assert judged(source, quotation) != "verified", (source, quotation)
