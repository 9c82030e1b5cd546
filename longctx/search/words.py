"""What an index counts as words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import regex

# Chinese, Japanese and Korean part no words, and a character says much: each is one. Others that
# part none are written with letters: two at a time.
_CHARACTERS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\u30fc"
_LETTERS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(
    rf"[{_CHARACTERS}]\p{{M}}*|(?P<run>[[{_LETTERS}]&&[\p{{L}}\p{{M}}]]+)"
    rf"|[[\w\p{{M}}]--[{_CHARACTERS}]--[[{_LETTERS}]&&[\p{{L}}\p{{M}}]]]+",
    regex.VERSION1,
)
# Latin letters alone, as _plain writes them, make words as Python knows them, quickly found.
_OTHERS = re.compile(r"[\u0300-\u1fff\u2c00-\U0010ffff]")
_LATIN_WORD = re.compile(r"\w+")
_CHARACTER = regex.compile(rf"[{_CHARACTERS}{_LETTERS}]")
_CLUSTER = regex.compile(r"\X")
# Nobody has to write them: the points of Arabic and Hebrew, the accents of Greek capitals, the
# line that stretches a word, what is not seen; and the dot that a small Turkish i has anyway.
_OPTIONAL = regex.compile(
    r"[\u064b-\u065f\u0670\u0640\u0591-\u05bd\u05bf-\u05c7\u00ad\u200b-\u200f\u2060\ufeff\ufe00-\ufe0f]"
    r"|(?<=\p{Greek})[\u0300\u0301\u0308\u0342]+|(?<=i)\u0307"
)

QUESTION_MARKS = "?\uff1f\u061f\u055e\u1367"
"""Of Latin, Chinese and Japanese, Arabic, Armenian and Ethiopic."""
SENTENCE_ENDS = f".!\u3002\uff01\u06d4\u0964{QUESTION_MARKS}"
"""Question marks, and other ends of sentences."""

# A question asks about its longer words but these.
LONG = 4
ASKING = frozenset({
    "what", "when", "where", "which", "that", "this", "with", "from", "have", "much", "many",
    "long", "there", "must", "will", "they", "them", "been", "being", "into", "some", "than",
    "then", "would", "could", "should", "about", "does",
})  # fmt: skip
# As do these characters, and what Japanese inflects with.
_ASKING_CHARACTER = regex.compile(r"[\p{Hiragana}什么甚麼多少几幾谁誰哪怎吗嗎呢吧何请請]")


def words_of(text: str) -> list[str]:
    """Words without capitals, however their characters are written, and single characters, or
    pairs of letters, where none are parted.

    Examples:
        >>> words_of("The re\\u0301sume\\u0301 of 2026")
        ['the', 'résumé', 'of', '2026']
    """
    plain = _plain(text)
    return list(_words(plain)) if _OTHERS.search(plain) else _LATIN_WORD.findall(plain)


def _words(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        if match["run"] is None:
            yield match[0]
            continue
        clusters = _CLUSTER.findall(match[0])
        if len(clusters) == 1:
            yield match[0]
        yield from (one + other for one, other in pairwise(clusters))


def _plain(text: str) -> str:
    """One way to write each character."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", _OPTIONAL.sub("", apart).casefold())


def n_words(text: str) -> float:
    """How many words a text has, roughly: two characters make one where none are parted."""
    return sum(0.5 if _CHARACTER.match(word) else 1 for word in words_of(text))


def asks_little(word: str) -> bool:
    """Whether a word of a question is most often one of asking ("what", "the", "ist")."""
    is_short = len(word) < LONG and word.isalpha() and not _CHARACTER.match(word)
    return is_short or word in ASKING or bool(_ASKING_CHARACTER.fullmatch(word))
