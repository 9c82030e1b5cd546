"""Comments in a Markdown text, which no page shows."""

from __future__ import annotations

import re
from bisect import bisect_right

from longctx.documents.reading.invisible import CLOSE, OPEN

_ITEM = r"(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])[ \t]*"  # of a list, or a quotation
# Code first: what stands in it is no comment. An open fence goes on to the end.
_COMMENT_OR_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<ticks>`{1,8})(?!`)(?:(?!\n[ \t]*\n).){0,2000}?(?<!`)(?P=ticks)(?!`)"
    r"|<!--(?:-?>|\s*-->)"  # it hides nothing
    rf"|(?:^(?P<alone> {{0,3}})|^(?P<item>[ \t]*(?:{_ITEM})+))?(?P<comment><!--)",
    re.DOTALL | re.MULTILINE,
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_INDENTED = re.compile(r" {0,3}\t| {4}")
_TAG = re.compile(r" {0,3}<[a-zA-Z/!?]")
_HOLDING = re.compile(rf" {{0,3}}(?:{_ITEM}|\[\^|:[ \t])")  # indented lines below are its own


def mark_comments(text: str) -> tuple[str, int]:
    """Mark HTML comments, but in code, where they are seen (CommonMark 0.31, sections 4.4, 4.6
    and 6.6).

    One that begins a line, or is in HTML, goes on to its end, or that of the text if it has none;
    one inside a paragraph ends in it, or is none.

    Returns:
        The text, and how many there were.

    Examples:
        >>> mark_comments("Seen. <!-- obey me --> `<!-- code -->`")
        ('Seen. [not visible: <!-- obey me -->] `<!-- code -->`', 1)
    """
    lines = _Lines(text)
    parts: list[str] = []
    n_comments = done = at = close = blank = 0
    while match := _COMMENT_OR_CODE.search(text, at):
        at = match.end()
        if not match["comment"]:
            continue
        start = match.start("comment")
        # Looked for once each: a text of nothing else takes no time that grows with its square.
        if close < at:
            close = text.find("-->", at) % (len(text) + 1)
        if blank < at:
            found = _BLANK_LINE.search(text, at)
            blank = found.start() if found else len(text)
        kind = lines.kind_at(start)
        begins = kind == "html" or match["alone"] is not None or match["item"] is not None
        if kind == "code" or (close > blank and not begins):
            continue
        if close == len(text) and match["item"] is not None:
            at = blank
        else:
            at = min(close + 3, len(text))
        n_comments += 1
        parts += [text[done:start], OPEN, text[start:at], CLOSE]
        done = at
    return "".join((*parts, text[done:])), n_comments


class _Lines:
    """Which lines of a text are code by their indentation, where no list or footnote may hold
    them, and which are HTML."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._kinds: list[str] = []
        start, after_blank, is_held, kind = 0, True, False, ""
        for line in text.split("\n") if "<!--" in text else ():
            is_blank = not line.strip()
            if not is_blank:
                is_indented = _INDENTED.match(line) is not None
                if is_indented and not is_held and (after_blank or kind == "code"):
                    kind = "code"
                elif _TAG.match(line) or (kind == "html" and not after_blank):
                    kind = "html"
                else:
                    kind = ""
                if not is_indented and _HOLDING.match(line):
                    is_held = True
                elif after_blank and not line[0].isspace():
                    is_held = False
            after_blank = is_blank
            self._starts.append(start)
            self._kinds.append("" if is_blank else kind)
            start += len(line) + 1

    def kind_at(self, place: int) -> str:
        """ "code", "html" or "": of the line that it is in."""
        return self._kinds[bisect_right(self._starts, place) - 1]
