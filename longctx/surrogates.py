"""Halves of surrogate pairs: escapes of JSON can name them, and no text can hold them."""

from __future__ import annotations


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a pair (RFC 8259, section 8.2), and whole pairs joined.

    Models write ``\\ud83d`` and stop there. Without this, no prompt and no file could be written of
    it any more, and the conversation would end.

    >>> without_surrogates("a \\ud83d b"), without_surrogates("\\ud83d\\ude00") == "😀"
    ('a � b', True)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
