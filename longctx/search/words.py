"""What an index counts as words."""

from __future__ import annotations

import re

# Chinese, Japanese and Korean part no words: each character is one.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")

# A question asks about its longer words but these.
LONG = 4
ASKING = frozenset({
    "what", "when", "where", "which", "that", "this", "with", "from", "have", "much", "many",
    "long", "there", "must", "will", "they", "them", "been", "being", "into", "some", "than",
    "then", "would", "could", "should", "about", "does",
})  # fmt: skip


def words_of(text: str) -> list[str]:
    """Words without capitals, and single characters where none are parted."""
    return _WORD.findall(text.casefold())


def asks_little(word: str) -> bool:
    """Whether a word of a question is most often one of asking ("what", "the", "ist")."""
    is_short = len(word) < LONG and word.isalpha() and not re.match(f"[{_CJK}]", word)
    return is_short or word in ASKING
