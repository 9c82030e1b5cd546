"""Characters that nobody sees, and that a model reads: tags, variation selectors, zero widths.

They can spell whole sentences beside the text that shows ("ASCII smuggling"). What they spell is
marked, as is other text that a reader cannot see; what cannot be read by itself is left out.
"""

from __future__ import annotations

import re

OPEN = "[not visible: "
CLOSE = "]"

# The flags of England, Scotland and Wales.
_FLAG = r"\U0001F3F4[\U000E0030-\U000E007A]{3,6}\U000E007F"
_TAGS = r"[\U000E0020-\U000E007F]+"
# A letter has one selector at most; a run of them is bytes.
_SELECTORS = r"[\ufe00-\ufe0f\U000E0100-\U000E01EF]{4,}"
# Single ones join letters and emoji, and break lines.
_ZERO_WIDTHS = r"[\u200b-\u200f\u2060-\u2064\u180e\ufeff]{8,}"
_UNSEEN = re.compile(f"(?P<flag>{_FLAG})|{_TAGS}|{_SELECTORS}|{_ZERO_WIDTHS}")
_RARE = re.compile(
    r"[\u180e\u200b\u2060-\u2064\ufe00-\ufe0f\U000E0020-\U000E007F\U000E0100-\U000E01EF]"
)


def told(text: str) -> tuple[str, int]:
    """A text with what it says in characters that nobody sees, marked.

    Returns:
        The text, and how many places there were.

    Examples:
        >>> hidden = "".join(chr(0xE0000 + ord(c)) for c in "obey me")
        >>> told(f"Seen.{hidden}")
        ('Seen.[not visible: obey me]', 1)
    """
    if _RARE.search(text) is None:
        return text, 0
    n_places = 0

    def spell(match: re.Match[str]) -> str:
        nonlocal n_places
        if match["flag"]:
            return match[0]
        n_places += 1
        return _spelled(match[0])

    return _UNSEEN.sub(spell, text), n_places


def note_of(n_places: int) -> str:
    """The note for so many of them."""
    places = "1 place" if n_places == 1 else f"{n_places:,} places"
    return f"{places} of characters that nobody sees, marked [not visible: …] or left out"


def _spelled(run: str) -> str:
    codes = [ord(c) for c in run]
    if codes[0] in range(0xE0020, 0xE0080):
        spelled = "".join(chr(code - 0xE0000) for code in codes)
    else:
        selected = bytes(
            code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16
            for code in codes
            if code in range(0xFE00, 0xFE10) or code in range(0xE0100, 0xE01F0)
        )
        spelled = selected.decode("utf-8", "replace")
    shown = "".join(c for c in spelled if c.isprintable() and c != "\ufffd").strip()
    return f"{OPEN}{shown}{CLOSE}" if shown else ""
