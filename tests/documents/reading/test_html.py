"""HTML is reduced to what a reader sees."""

import pytest

from longctx.documents.reading.html import visible_text

PAGE = """<!DOCTYPE html><html><head><title> The
 Contract </title><style>p {color: red}</style><script>var x = "<p>no</p>"</script></head>
<body><!-- a comment --><h1>Terms  of
 <i>sale</i></h1><p>The seller &amp; the <b>buy</b>er.<br>Next line.</p>
<ul><li>one</li><li>two</li></ul>
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre>def f():
    <b>return</b> 1
</pre>
<div hidden>secret 1</div><div style="Display : none">secret 2</div>
<template>secret 3</template><svg><text>secret 5</text></svg>
<h2>Risk</h2><p>It passes on <em>delivery</em>.</p></body></html>"""

SEEN = """Terms of sale

The seller & the buyer.
Next line.

one
two

a | b
1 | 2

def f():
    return 1

Risk

It passes on delivery."""


def test_only_the_visible_text_remains():
    """Blocks part, inline elements do not, white space collapses except in <pre>."""
    page = visible_text(PAGE)
    assert page.text == SEEN
    assert page.title == "The Contract"


def test_sections_have_exact_offsets():
    """A section begins at its heading and ends where one as high begins."""
    page = visible_text(PAGE)
    assert [(s.title, s.level) for s in page.sections] == [("Terms of sale", 1), ("Risk", 2)]
    first, second = page.sections
    assert (first.start, first.end) == (0, len(SEEN))
    assert page.text[second.start : second.end] == "Risk\n\nIt passes on delivery."


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000 + "deep" + "</div>" * 20_000,
        "<p>deep",
        "deep</b></p></html>",
        "<b><i>deep</b></i>",
    ],
    ids=["nested", "unclosed", "stray ends", "crossed"],
)
def test_damaged_and_hostile_markup_still_gives_its_text(html):
    """No recursion limit, no unbalanced tag, loses the text or raises."""
    assert visible_text(html).text == "deep"


def test_entities_do_not_become_markup():
    """An escaped tag is text to the reader, and stays text."""
    assert visible_text("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>").text == (
        "<script>alert(1)</script>"
    )
