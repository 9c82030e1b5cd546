"""The visible text of an HTML page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longctx.documents.document import Section, sections_of
from longctx.errors import DocumentError, MissingExtraError

if TYPE_CHECKING:
    from bs4.element import PageElement, Tag

_INVISIBLE = frozenset({
    "head", "script", "style", "template", "noscript", "iframe", "object", "embed", "svg",
    "audio", "video", "canvas", "datalist"
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "body", "br", "caption", "dd", "details", "div", "dt",
    "fieldset", "figcaption", "footer", "form", "header", "hr", "legend", "li", "main", "nav",
    "option", "section", "summary", "tr"
})  # fmt: skip
_PARAGRAPHS = frozenset({
    "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre",
    "table", "ul"
})  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass(frozen=True)
class VisibleText:
    """What a reader of the page sees; ``title`` is that of its ``<title>`` element."""

    text: str
    title: str | None
    sections: tuple[Section, ...]


def visible_text(html: str) -> VisibleText:
    """Reduce a page to the text that it shows.

    Left out: scripts, styles, templates, comments, embedded objects, and elements hidden by the
    ``hidden`` attribute or an inline ``display: none``. What a style sheet hides is not known
    here, for nothing is fetched and nothing is executed. White space collapses, but in
    ``<pre>``; blocks stand on lines of their own, table cells are parted by ``" | "``.

    Raises:
        DocumentError: the page is too damaged for the parser.
        MissingExtraError: beautifulsoup4 is not installed.
    """
    try:
        from bs4 import BeautifulSoup
        from bs4.element import NavigableString, PreformattedString, Tag
        from bs4.exceptions import ParserRejectedMarkup
    except ImportError as error:
        raise MissingExtraError(
            'to read HTML run `pip install "longctx-sdk[rag]"` (it needs beautifulsoup4)'
        ) from error
    try:
        soup = BeautifulSoup(html, "html.parser")
    except ParserRejectedMarkup as error:
        raise DocumentError(
            f"the HTML is malformed ({error}); save the page again, or its text as .txt"
        ) from error
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    writer = _Writer()
    # A stack and not recursion: hostile pages nest deeper than Python's call stack.
    stack: list[tuple[PageElement, bool]] = [(soup, False)]
    while stack:
        node, leaving = stack.pop()
        if isinstance(node, Tag):
            if leaving:
                writer.leave(node.name)
            elif _is_visible(node):
                writer.enter(node.name)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(node.contents))
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            writer.write(str(node))
    text = "".join(writer.parts).rstrip()
    return VisibleText(text, title or None, sections_of(writer.headings, len(text)))


def _is_visible(tag: Tag) -> bool:
    hidden = tag.has_attr("hidden") or _HIDING_STYLE.search(str(tag.get("style", "")))
    return tag.name not in _INVISIBLE and not hidden


# What may stand between two pieces of text; of several, the strongest wins.
_SPACE, _CELL, _LINE, _PARAGRAPH = " ", " | ", "\n", "\n\n"
_STRENGTH = ("", _SPACE, _CELL, _LINE, _PARAGRAPH)


@dataclass
class _Writer:
    """Collects the text; a gap is owed until something visible follows it."""

    parts: list[str] = field(default_factory=list)
    headings: list[tuple[int, str, int]] = field(default_factory=list)
    length: int = 0
    owed: str = ""
    pre_depth: int = 0
    # Of the open heading: the index of its first part, and its character offset.
    heading_from: tuple[int, int] | None = None
    in_heading: bool = False

    def enter(self, name: str) -> None:
        self._owe(_gap_around(name))
        if name in ("td", "th"):
            self._owe(_CELL)
        self.pre_depth += name == "pre"
        if name in _HEADINGS:
            self.in_heading, self.heading_from = True, None

    def leave(self, name: str) -> None:
        self.pre_depth -= name == "pre"
        if name in _HEADINGS:
            if self.heading_from is not None:
                first_part, start = self.heading_from
                title = " ".join("".join(self.parts[first_part:]).split())
                self.headings.append((int(name[1]), title, start))
            self.in_heading, self.heading_from = False, None
        self._owe(_gap_around(name))

    def write(self, text: str) -> None:
        """Add the text of one node."""
        if self.pre_depth:
            self._emit(text)
            return
        if text[:1].isspace():
            self._owe(_SPACE)
        self._emit(" ".join(text.split()))
        if text[-1:].isspace():
            self._owe(_SPACE)

    def _owe(self, gap: str) -> None:
        if _STRENGTH.index(gap) > _STRENGTH.index(self.owed):
            self.owed = gap

    def _emit(self, text: str) -> None:
        if not text:
            return
        if self.parts:
            self._append(self.owed)
        self.owed = ""
        if self.in_heading and self.heading_from is None:
            self.heading_from = len(self.parts), self.length
        self._append(text)

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)


def _gap_around(name: str) -> str:
    return _PARAGRAPH if name in _PARAGRAPHS else _LINE if name in _BLOCKS else ""
