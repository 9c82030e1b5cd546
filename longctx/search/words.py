"""What an index counts as words."""

from __future__ import annotations

import re

# Chinese, Japanese and Korean part no words: each character is one.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


def words_of(text: str) -> list[str]:
    """Words without capitals, and single characters where none are parted."""
    return _WORD.findall(text.casefold())
