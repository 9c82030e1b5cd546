"""Words that no text has: of syllables, so that they can be said and are few tokens."""

from __future__ import annotations

from random import Random

_SYLLABLES = (
    "ba", "cor", "del", "fen", "gar", "hol", "jin", "kel", "lo", "mar", "nis", "or", "pel", "quin",
    "ros", "sten", "tal", "ul", "ver", "wik", "yar", "zan",
)  # fmt: skip


def invented_word(random: Random, n_syllables: int = 3) -> str:
    """One of 22 to the power of ``n_syllables`` words, in small letters."""
    return "".join(random.choices(_SYLLABLES, k=n_syllables))
