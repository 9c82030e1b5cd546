"""The visible text of an HTML page."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from longctx.documents.reading.content import LINE, PARAGRAPH, Content, Source, TextBuilder, counted
from longctx.documents.reading.encoding import decode
from longctx.documents.reading.html_grounds import Grounds
from longctx.documents.reading.html_tables import children, is_layout, rows_of
from longctx.documents.reading.html_visibility import is_faint, is_hidden
from longctx.documents.reading.limits import MAX_HTML_CHARS
from longctx.errors import DocumentError, MissingExtraError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_NOT_TEXT = frozenset({
    "head", "script", "style", "template", "iframe", "object", "embed", "svg", "audio", "video",
    "canvas", "datalist"
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "body", "br", "caption", "dd", "details", "div", "dt",
    "fieldset", "figcaption", "footer", "form", "header", "hr", "legend", "li", "main", "nav",
    "option", "section", "summary", "td", "th", "tr"
})  # fmt: skip
_PARAGRAPHS = frozenset({
    "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre",
    "table", "ul"
})  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr"
})  # fmt: skip
_SELF_CLOSED = re.compile(r"<([a-zA-Z][\w:-]*)((?:\s[^<>]*?)?)/>")
_XHTML = re.compile(r"<\?xml|xmlns\s*=\s*[\"']http://www\.w3\.org/1999/xhtml")
_STRAY_NULLS = 16
# The parser's time grows with the square of the depth; browsers go 512 deep.
_MAX_DEPTH = 20_000
_NESTING_TAG = re.compile(
    r"</?(?!(?:p|li|td|th|tr|dd|dt|option|tbody|thead|tfoot|colgroup|area|base|br|col|embed|hr|img"
    r"|input|link|meta|source|track|wbr)\b)[a-zA-Z][^<>]*>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Less than this beside much more that is hidden: the page waits for a script to show it.
_WAITING_SHARE, _WAITING_CHARS = 0.1, 500
_WAITING = "the page is hidden until a script shows it; it was read all the same"
_STRENGTH = ("", LINE, PARAGRAPH)
_WHITE_SPACE = re.compile(r"\s+")


def read(source: Source) -> Content:
    """Reduce a page to the text that it shows.

    Raises:
        DocumentError: it shows no text, or is too large.
        MissingExtraError: selectolax is not installed.
    """
    decoded = decode(source.data, source.name, source.encoding, stray_nulls=_STRAY_NULLS)
    content = visible_text(decoded.text, source.name)
    if not content.text:
        raise DocumentError(
            f"{source.name} shows no text ({len(source.data)} bytes of HTML): its content may be "
            "images, or made by scripts; open it in a browser and save what you see as .txt"
        )
    notes = (*decoded.notes, *content.notes)
    return replace(content, encoding=decoded.encoding, notes=notes)


def visible_text(html: str, name: str = "the page") -> Content:
    """Reduce a page to the text that it shows.

    Left out: scripts, styles, templates, comments, embedded objects, and elements hidden by the
    ``hidden`` attribute or an inline ``display: none``; where that is nearly all of the page, it
    waits for a script to show it, and is read. What stands in ``<noscript>`` is read, for no
    script runs here. White, tiny and off-screen text is marked ``[not visible: …]``; white text is
    seen where a style sheet gives, or may give, a ground to it. What a style sheet hides is not
    known, for nothing is fetched. White space collapses, but in ``<pre>``;
    blocks stand on lines of their own, table cells are parted by ``" | "``.

    Raises:
        DocumentError: it is too large.
        MissingExtraError: selectolax is not installed.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtraError(
            'to read HTML run `pip install "longctx-sdk[rag]"` (it needs selectolax)'
        ) from error
    if len(html) > MAX_HTML_CHARS:
        raise DocumentError(
            f"{name} is a page of {len(html):,} characters, more than the {MAX_HTML_CHARS:,} that "
            "are read; split it, or save its text as .txt"
        )
    if _XHTML.search(html, 0, 2000):
        html = _SELF_CLOSED.sub(_opened, html)  # in HTML, <title/> is open to the page's end
    too_deep = _depth(html) > _MAX_DEPTH
    if too_deep:
        html = _TAG.sub(" ", html)
    tree = LexborHTMLParser(html)
    title_node = tree.css_first("head > title") or tree.css_first("body title")
    title = " ".join((title_node.text() or "").split()) if title_node else ""
    root = tree.root
    if root is None:
        return Content("")
    grounds = Grounds(tree)
    page = _Page(name, grounds, shows_hidden=False)
    page.write(root)
    if page.hidden_chars > _WAITING_CHARS * (page.builder.length > 0) and (
        page.builder.length < _WAITING_SHARE * page.hidden_chars
    ):
        page = _Page(name, grounds, shows_hidden=True)
        page.write(root)
        page.builder.note(_WAITING)
    if too_deep:
        page.builder.note("its elements are nested too deeply: text without its structure")
    if page.n_faint:
        page.builder.note(
            f"{counted(page.n_faint, 'place')} that no reader sees (white, tiny, or off the "
            "screen) marked [not visible: …]"
        )
    return page.builder.content(title=title or None)


def _depth(html: str) -> int:
    """How deep elements are nested at most, but for those that close each other."""
    depth = deepest = 0
    for match in _NESTING_TAG.finditer(html):
        depth = max(0, depth - 1) if match[0].startswith("</") else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _opened(match: re.Match[str]) -> str:
    tag, attributes = match.groups()
    return match[0] if tag.lower() in _VOID else f"<{tag}{attributes}></{tag}>"


class _Page:
    """Walks a page, or a cell, once and puts its blocks together."""

    def __init__(self, name: str, grounds: Grounds, *, shows_hidden: bool) -> None:
        self.builder = TextBuilder(name)
        self.hidden_chars = 0
        self.n_faint = 0
        self._grounds = grounds
        self._shows_hidden = shows_hidden
        self._inline: list[str] = []
        self._lead = ""  # what the next text begins with: a list's number
        self._owed = ""
        self._pre_depth = 0
        self._level = 0
        self._list_numbers: list[int | None] = []

    def write(self, root: LexborNode) -> None:
        """Write everything below a node."""
        # A stack and not recursion: hostile pages nest deeper than Python's call stack.
        stack: list[tuple[LexborNode, str]] = [(root, "enter")]
        while stack:
            node, step = stack.pop()
            tag = node.tag or "-"
            if step == "leave":
                self._leave(tag)
            elif step == "faint":
                self._inline.append("]")
            elif tag == "-text":
                self._text(node.text_content or "")
            elif tag[0].isalpha() and tag not in _NOT_TEXT and not self._hides(node, tag):
                if tag == "table" and not is_layout(node):
                    self._table(node)
                    continue
                self._enter(node, tag)
                stack.append((node, "leave"))
                if is_faint(node, self._grounds) and (node.text() or "").strip():
                    self.n_faint += 1
                    self._inline.append("[not visible: ")
                    stack.append((node, "faint"))
                stack += [(child, "enter") for child in reversed(list(children(node)))]
        self._break(LINE)

    def _hides(self, node: LexborNode, tag: str) -> bool:
        if self._shows_hidden or not is_hidden(node):
            return False
        if tag in ("html", "body"):
            self.builder.note(_WAITING)
            return False
        self.hidden_chars += len(node.text() or "")
        return True

    def _enter(self, node: LexborNode, tag: str) -> None:
        self._break(_gap_around(tag))
        self._pre_depth += tag == "pre"
        if tag in _HEADINGS:
            self._level = int(tag[1])
        elif tag in ("ol", "ul"):
            start = node.attributes.get("start") or "1"
            first = int(start) if start.isdecimal() and len(start) < 9 else 1
            self._list_numbers.append(first if tag == "ol" else None)
        elif tag == "li" and self._list_numbers:
            number = self._list_numbers[-1]
            if number is not None:
                self._lead = f"{number}. "
                self._list_numbers[-1] = number + 1
        elif tag == "input" and node.attributes.get("type") in (None, "", "text", "submit"):
            self._inline.append(f" {node.attributes.get('value') or ''} ")

    def _leave(self, tag: str) -> None:
        self._break(_gap_around(tag))
        self._pre_depth -= tag == "pre"
        if tag in _HEADINGS:
            self._level = 0
        elif tag in ("ol", "ul"):
            self._list_numbers.pop()
        elif tag == "li":
            self._lead = ""

    def _text(self, text: str) -> None:
        text = text.replace("\u00ad", "").replace("\x00", "")
        self._inline.append(text if self._pre_depth else _WHITE_SPACE.sub(" ", text))

    def _table(self, node: LexborNode) -> None:
        self._break(PARAGRAPH)
        for caption in (child for child in children(node) if child.tag == "caption"):
            self._inline.append(self._cell(caption))
            self._break(PARAGRAPH)
        rows, header_rows = rows_of(node, self._cell)
        self.builder.table(rows, header_rows=header_rows, gap=self._owed or PARAGRAPH)
        self._owed = PARAGRAPH

    def _cell(self, cell: LexborNode) -> str:
        only = cell.child
        if only is not None and only.tag == "-text" and only.next is None and not cell.attributes:
            return " ".join((only.text_content or "").replace("\u00ad", "").split())
        page = _Page("a cell", self._grounds, shows_hidden=self._shows_hidden)
        page.write(cell)
        self.hidden_chars += page.hidden_chars
        self.n_faint += page.n_faint
        return " ".join(page.builder.content().text.split())

    def _break(self, gap: str) -> None:
        """End the block, if it is more than an inline element's; the strongest gap follows it."""
        if not gap:
            return
        text = "".join(self._inline)
        self._inline.clear()
        text = text.strip("\n") if self._pre_depth else " ".join(text.split())
        if text and not text.isspace():
            self.builder.block(self._lead + text, level=self._level, gap=self._owed or PARAGRAPH)
            self._lead = self._owed = ""
        self._owed = max(self._owed, gap, key=_STRENGTH.index)


def _gap_around(tag: str) -> str:
    return PARAGRAPH if tag in _PARAGRAPHS else LINE if tag in _BLOCKS else ""
