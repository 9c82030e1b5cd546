"""How many digits a number of JSON has come to, by all that was written before."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_DIGITS = 40
"""In a row, of a number: more than any double or decimal has, and a small model may write them for
ever. llguidance bounds the digits of whole numbers (by their range), and of no others."""
MAX_EXPONENT_DIGITS = 3

_BEGUN = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?")
_DIGITS = re.compile(r"(?:([eE])[+-]?)?([0-9]+)$")
_NO_NUMBER = "_"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an answer that has JSON in it.

    Digits of strings are not counted: "8e100" may be part of an id. Between values there may be
    text of a model's own call format, whose quotation marks need not come in pairs; so the end of a
    line and a control token, which no string of JSON has in it, end one.

    ``word`` is what was written of a number, all of it, or "_" in a word that is none.
    """

    in_string: bool = False
    is_escaped: bool = False
    word: str = ""

    def after(self, text: str) -> Place:
        """Where one is behind some more text; "" is a control token's."""
        if not text:
            return Place()
        in_string, is_escaped, word = self.in_string, self.is_escaped, self.word
        for character in text:
            if in_string:
                if character == "\n" or (character == '"' and not is_escaped):
                    in_string = False
                is_escaped = in_string and character == "\\" and not is_escaped
            elif character == '"':
                in_string, word = True, ""
            elif character.isalnum() or character in "_.+-":
                word += character
                if not _BEGUN.fullmatch(word):
                    word = _NO_NUMBER
            else:
                word = ""
        return Place(in_string, is_escaped, word)

    @property
    def is_long_number(self) -> bool:
        """Whether the number here has all the digits that it may."""
        found = _DIGITS.search(self.word)
        if found is None:
            return False
        return len(found[2]) >= (MAX_EXPONENT_DIGITS if found[1] else MAX_DIGITS)
