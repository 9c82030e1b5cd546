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


class PairJoiner:
    """Joins pairs in a text whose pieces part them, as servers in JavaScript may send it.

    >>> joiner = PairJoiner()
    >>> [joiner.joined("a \\ud83d"), joiner.joined("\\ude00 b")] == ["a ", "😀 b"]
    True
    """

    def __init__(self) -> None:
        self._half = ""

    def joined(self, piece: str, *, is_last: bool = False) -> str:
        """The next piece, with the half that the one before ended with, and without one at its end
        as long as others may come."""
        text, self._half = self._half + piece, ""
        if not is_last and "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return without_surrogates(text)
