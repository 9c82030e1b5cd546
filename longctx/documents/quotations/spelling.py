"""One way to write each character, with the way back to where it stood."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import regex

OPTIONAL_HYPHEN = "\u00ad"
"""In a spelling: a hyphen that stands only because a line ended, or perhaps in its own right."""

_SINGLE = r"\u2018-\u201b\u2032\u2035\u00b4\u02bc\u02b9\uff07\u2039\u203a"
_DOUBLE = r"\u201c-\u201f\u2033\u2036\u00ab\u00bb\u300a-\u300f\u301d-\u301f\uff02"
_DASH = r"\u2010-\u2013\u2212\ufe63\uff0d"
_LONG_DASH = r"\u2014\u2015\u2e3a\u2e3b\ufe58"
# Nobody sees these: zero width, direction, variation, control; and signs of trade marks.
_UNSEEN = (
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f"
    r"\x00-\x08\x0e-\x1f\x7f\u00ae\u2122\u2120"
)
_POWER = r"\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u207b"
_FRACTION = r"\u00bc-\u00be\u2150-\u215e\u2189"
_CHANGED = regex.compile(
    r"(?=[^ -,.-_a-~\t-\r])(?:"  # most of a text is none of these, and passed over at once
    # A hyphen at the end of a line, or a soft one anywhere.
    r"(?P<hyphen>(?<=[\p{L}\p{M}])[-\u2010\u2011][^\S\n]*\n\s*(?=\p{L})|\u00ad(?:[^\S\n]*\n\s*)?)"
    rf"|(?P<unseen>[{_UNSEEN}]+)"
    rf"|(?P<single>[{_SINGLE}]|(?<=\p{{L}})`(?=\p{{L}}))"
    rf"|(?P<double>[{_DOUBLE}])"
    # A minus before a number is its sign, also with a space, unless it is an operation.
    r"|(?P<dash>\u2212[^\S\n]?(?<![\p{Nd}\p{Pe}%]\s?\u2212\s?)(?<!\b\p{L}\s?\u2212\s?)(?=[\p{Nd}\p{Sc}])"
    rf"|[{_DASH}])"
    rf"|(?P<long_dash>[{_LONG_DASH}]+|(?<!-)---?(?!-))"
    rf"|(?P<power>[{_POWER}]+)"
    rf"|(?P<fraction>[{_FRACTION}])"
    rf"|(?P<other>[^\x00-\x7e\u00ad{_UNSEEN}{_SINGLE}{_DOUBLE}{_DASH}{_LONG_DASH}{_POWER}{_FRACTION}]+)"
    r")"
)
_CLUSTER = regex.compile(r"\X")
_WRITTEN = {
    "hyphen": OPTIONAL_HYPHEN,
    "unseen": "",
    "single": "'",
    "double": '"',
    "dash": "-",
    "long_dash": "\u2014",
}


@dataclass(frozen=True)
class Spelling:
    """A text in NFKC with quotation marks, apostrophes, dashes and hyphens of one kind each.

    It is in pieces: the i-th begins at ``starts[i]`` and stands for the span ``origins[i]`` of
    the original, character by character where both are of one length.
    """

    text: str
    starts: list[int]
    origins: list[tuple[int, int]]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a span, not an empty one, stood in the original."""
        return self._character(start)[0], self._character(end - 1)[1]

    def _character(self, place: int) -> tuple[int, int]:
        i = bisect_right(self.starts, place) - 1
        piece_end = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.text)
        start, end = self.origins[i]
        if piece_end - self.starts[i] != end - start:
            return start, end
        start += place - self.starts[i]
        return start, start + 1


def spell(text: str) -> Spelling:
    """Write a text in one way.

    Examples:
        >>> spelling = spell("An ef-\\nﬁcient “ship”")
        >>> spelling.text == 'An ef\\u00adficient "ship"'
        True
        >>> spelling.origin(3, 13)
        (3, 13)
    """
    parts: list[str] = []
    starts: list[int] = []
    origins: list[tuple[int, int]] = []
    length = 0
    for start, end, written in _pieces(text):
        if not written:
            continue
        parts.append(written)
        goes_on = (
            origins
            and origins[-1][1] == start
            and origins[-1][1] - origins[-1][0] == length - starts[-1]
            and end - start == len(written)
        )
        if goes_on:
            origins[-1] = origins[-1][0], end
        else:
            starts.append(length)
            origins.append((start, end))
        length += len(written)
    return Spelling("".join(parts), starts, origins)


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Spans of a text, all of it in order, and how each is written."""
    done = 0
    for match in _CHANGED.finditer(text):
        start, end = match.span()
        if match.lastgroup == "other":
            if start > done and unicodedata.combining(match[0][0]):
                start -= 1  # the letter that the mark is on
            if unicodedata.is_normalized("NFKC", text[start:end]):
                continue
        yield done, start, text[done:start]
        done = end
        if match.lastgroup == "other":
            for cluster in _CLUSTER.finditer(text, start, end):
                yield *cluster.span(), unicodedata.normalize("NFKC", cluster[0])
        else:
            before = text[max(0, start - 3) : start]
            yield start, end, _written(match.lastgroup, match[0], before)
    yield done, len(text), text[done:]


def _written(kind: str | None, found: str, before: str) -> str:
    if kind in _WRITTEN:
        return _WRITTEN[kind]
    plain = unicodedata.normalize("NFKC", found).replace("\u2044", "/").replace("\u2212", "-")
    if before[-1:].isdigit():
        # They are no further digits of it: 10² is not 102, nor 1½ 11/2.
        return f"^{plain}" if kind == "power" else f" {plain}"
    if kind == "power" and len(before) == 3 and before.isalpha():
        return ""  # a footnote's number; behind fewer letters it is a unit's, as in m²
    return plain
