"""Markdown to HTML that is safe to show: rendered and highlighted while it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound
from typing_extensions import TypedDict

# Characters that are highlighted; what is longer is shown plain. Some of Pygments' lexers take the
# square of a length: 80,000 characters of "<!--" keep XML's busy for 19 s, 20,000 for 1.2 s.
_LONGEST_CODE = 20_000
_LINE_END = re.compile(r"\r\n?")
_ALIGNED = re.compile(r"text-align:(left|right|center)")
_LIGHT, _DARK = "xcode", "github-dark"

_TAGS = {
    *("blockquote", "br", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"),
    *("a", "code", "em", "s", "span", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={
        "a": {"href", "title"},
        "code": {"class"},
        "ol": {"start"},
        "span": {"class"},
        "td": {"class"},
        "th": {"class"},
    },
    # A relative address would be one of this server.
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
)


class Rendered(TypedDict):
    """A piece of a text as HTML.

    ``settled`` are the blocks that nothing written later changes, ``open`` is the last one, and
    ``rest`` is its Markdown: what is written next is rendered together with that alone.
    """

    settled: str
    open: str
    rest: str


def render(text: str) -> Rendered:
    """Turn Markdown (CommonMark, tables, strikethrough) into HTML without anything that runs.

    HTML in the text is shown as text, an image as a link, because the page asks no foreign host.

    Args:
        text: all that was written, or the ``rest`` of what was rendered and what follows it.

    Examples:
        >>> render("*One*\\n\\nTwo\\n")
        {'settled': '<p><em>One</em></p>\\n', 'open': '<p>Two</p>\\n', 'rest': 'Two\\n'}
    """
    text = _LINE_END.sub("\n", text)
    markdown, env = _markdown(), dict[str, object]()
    tokens = markdown.parse(text, env)
    line = _last_block(text[: text.rfind("\n") + 1])
    n_settled = next((i for i, token in enumerate(tokens) if _line(token) >= line), len(tokens))
    settled, is_open = (
        _CLEANER.clean(markdown.renderer.render(some, markdown.options, env))
        for some in (tokens[:n_settled], tokens[n_settled:])
    )
    return {"settled": settled, "open": is_open, "rest": "\n".join(text.split("\n")[line:])}


def _last_block(lines: str) -> int:
    """The line on which the last block begins.

    A line that is not whole is none of them: "2" ends a list that "2. two" goes on with.
    """
    return max((_line(token) for token in _block_parser().parse(lines)), default=0)


def _line(token: Token) -> int:
    """On which a block begins; -1 for what is within one, or ends it."""
    return token.map[0] if token.map and token.level == 0 else -1


@cache
def code_styles() -> str:
    """The style sheet of highlighted code, for light and dark."""
    light, dark = (
        _formatter(style).get_style_defs("pre code")  # type: ignore[no-untyped-call] # of its stubs
        for style in (_LIGHT, _DARK)
    )
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _formatter(style: str) -> HtmlFormatter[str]:
    return HtmlFormatter(style=style, nowrap=True)


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": _highlighted})
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.push("align_by_class", _align_by_class)
    markdown.add_render_rule("image", _image_as_link)
    return markdown


@cache
def _block_parser() -> MarkdownIt:
    """Tells blocks alone, which is quick."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.core.ruler.enableOnly(["normalize", "block"])
    return markdown


def _highlighted(code: str, language: str, _attributes: str) -> str:
    if not language or len(code) > _LONGEST_CODE:
        return ""  # the renderer escapes it
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, _formatter(_LIGHT)))


def _align_by_class(state: object) -> None:
    """Columns of tables: the page's policy takes no styles that stand in a text."""
    tokens: Sequence[Token] = getattr(state, "tokens", ())
    for token in tokens:
        found = _ALIGNED.fullmatch(str(token.attrs.pop("style", "")))
        if found:
            token.attrs["class"] = found[1]


def _image_as_link(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    image = tokens[index]
    label = renderer.renderInlineAsText(image.children or (), options, env)
    address: Mapping[str, str | int | float] = image.attrs
    link = Token("link_open", "a", 1, attrs={"href": address.get("src", "")})
    words = Token("text", "", 0, content=label or str(address.get("src", "")))
    return renderer.render([link, words, Token("link_close", "a", -1)], options, env)
