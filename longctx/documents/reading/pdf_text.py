"""The text of a PDF's pages, freed of what setting type did to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What PDFium puts where a line ends with a hyphen, instead of hyphen and line end.
_LINE_END_HYPHEN = "\ufffe"
# Bounded, so that a page of letters without a space takes no time that grows with its square.
_BROKEN_WORD = re.compile(r"(\w{1,40})\ufffe(\w{1,40})")
_HYPHENATED = re.compile(r"\w{1,40}-\w{1,40}")
_LIGATURES = {
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
    "\ufb05": "st", "\ufb06": "st",
}  # fmt: skip
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_GLYPH_NAMES = re.compile(r"/(?:g|G|cid|uni|glyph)\d+|\(cid:\d+\)")
_MIN_CHARS = 16
_MIN_READABLE_SHARE = 0.35


class TextRepair:
    """Undoes ligatures and line-end hyphens; one for a document, whose words it knows.

    "ef-" at a line's end and "ficient" below it are "efficient"; "well-" and "known" are
    "well-known" where the document writes it so elsewhere.

    Args:
        texts: of all pages.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        broken = any(_LINE_END_HYPHEN in text for text in texts)
        found = (m.lower() for text in texts for m in _HYPHENATED.findall(text)) if broken else ()
        self._known = frozenset(found)

    def __call__(self, text: str) -> str:
        """A page's text as it was meant."""
        text = _BROKEN_WORD.sub(self._join, text).replace(_LINE_END_HYPHEN, "-")
        return clean(_LIGATURE.sub(lambda match: _LIGATURES[match[0]], text))

    def _join(self, match: re.Match[str]) -> str:
        before, after = match.groups()
        hyphenated = f"{before}-{after}"
        is_word = before[-1].islower() and after[0].islower()
        return hyphenated if not is_word or hyphenated.lower() in self._known else before + after


def clean(text: str) -> str:
    """Text without soft hyphens, controls and spaces at line ends."""
    # Broken font tables give lone surrogates and nulls, which no tokenizer reads.
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "".join(c for c in text if c.isprintable() or c in "\t\n\r\u00ad" or ord(c) > 0x9F)
    text = re.sub("\u00ad\\s*\n?", "", text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def is_garbage(text: str) -> bool:
    """Whether a text layer is numbers of glyphs, private letters and controls, and no words."""
    solid = "".join(text.split())
    if len(solid) < _MIN_CHARS:
        return False
    names = sum(map(len, _GLYPH_NAMES.findall(solid)))
    if names > 0.5 * len(solid):
        return True
    # Rows of dots and dashes are no letters, and no garbage.
    judged = [c for c in solid if c not in ".-_=*·•…│─|"]
    readable = sum(c.isalnum() for c in judged)
    return len(judged) >= _MIN_CHARS and readable < _MIN_READABLE_SHARE * len(judged)
