"""Characters that every version of Unicode's tables puts in the same class.

llama.cpp, tiktoken's regex crate and Python each carry tables of their own Unicode version,
and cut words by them. They agree on what has been assigned for long.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# Blocks that hold symbols only, whichever version assigned them: the emoji.
_SYMBOLS = ((0x2600, 0x2775), (0x2794, 0x27BF), (0x2B00, 0x2BFF), (0x1F300, 0x1FAFF))
_ASSIGNED_END = 0x30000  # planes above hold no text


def has_only_stable_characters(text: str) -> bool:
    """Whether all tables agree on the class of every character.

    True of characters that Unicode 3.2 (2002) had and that are still of the same general
    category, and of the emoji.
    """
    return text.isascii() or _stable().fullmatch(text) is not None


@functools.cache
def _stable() -> re.Pattern[str]:
    old, now = unicodedata.ucd_3_2_0.category, unicodedata.category
    ranges: list[list[int]] = [list(block) for block in _SYMBOLS]
    for code in range(_ASSIGNED_END):
        category = old(chr(code))
        if category in ("Cn", "Cs") or category[0] != now(chr(code))[0]:
            continue
        if ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    members = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
    return re.compile(f"[{members}]*")
