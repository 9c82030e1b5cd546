"""Characters that every version of Unicode's tables puts in the same class.

llama.cpp, tiktoken's regex crate and Python each carry tables of their own Unicode version,
and cut words by them. They agree on what has been assigned for long.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# Complete blocks of symbols younger than Unicode 3.2: pictographs, emoticons, transport.
_EMOJI = ((0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x1F910, 0x1F93A), (0x1F940, 0x1F945))
_ASSIGNED_END = 0x30000  # planes above hold no text


def has_only_stable_characters(text: str) -> bool:
    """Whether all tables agree on the class of every character.

    True of characters that Unicode 3.2 (2002) had and that are still of the same general
    category, and of the common emoji.
    """
    return text.isascii() or _stable().fullmatch(text) is not None


@functools.cache
def _stable() -> re.Pattern[str]:
    old, now = unicodedata.ucd_3_2_0.category, unicodedata.category
    ranges: list[list[int]] = [list(block) for block in _EMOJI]
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
