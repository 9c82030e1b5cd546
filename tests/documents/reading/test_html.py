"""HTML is reduced to what a reader sees."""

import subprocess
import sys

import pytest

from longctx.documents.reading.html import visible_text
from tests.support.thorough import thorough

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
        "<div>" * 8_000 + "deep" + "</div>" * 8_000,
        "<div>" * 200_000 + "deep",
        "<p>deep",
        "deep</b></p></html>",
        "<b><i>deep</b></i>",
    ],
    ids=["nested", "nested for ever", "unclosed", "stray ends", "crossed"],
)
def test_damaged_and_hostile_markup_still_gives_its_text(html):
    """No recursion limit, no unbalanced tag, loses the text or raises."""
    assert visible_text(html).text == "deep"


def test_entities_do_not_become_markup():
    """An escaped tag is text to the reader, and stays text."""
    assert visible_text("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>").text == (
        "<script>alert(1)</script>"
    )


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<head><title>T</title><body><p>omitted head end", "omitted head end"),
        ("<html><head><meta charset=utf-8><p>no body tag", "no body tag"),
        ("<p>a</p><noscript><p>without <b>scripts</b></p></noscript>", "a\n\nwithout scripts"),
        ("<p>nul\x00ls</p>", "nulls"),
        ("<p>soft\u00adhyphen</p>", "softhyphen"),
        ('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
         '<script src="x"/></head><body><a id="x"/>closed by itself</body></html>',
         "closed by itself"),
        ("<ol start=3><li>c<li><p>d</p></ol>", "3. c\n\n4. d"),
        ('<input value="typed"><input type=hidden value=x><textarea>more</textarea>', "typed more"),
    ],
    ids=["head", "no body", "noscript", "null", "soft hyphen", "xhtml", "list", "form"],
)  # fmt: skip
def test_one_fault_each(html, text):
    """What a browser shows is what is read."""
    assert visible_text(html).text == text


@pytest.mark.parametrize(
    "html",
    [
        '<body style="display:none"><p>The words.</p></body>',
        '<body style="opacity: 0"><p>The words.</p></body>',
        f'<p>Loading</p><div style="display: none">The words. {"And more. " * 80}</div>',
        "<div hidden><p>The words.</p></div>",
    ],
    ids=["body", "opacity", "app", "all"],
)
def test_a_page_that_waits_for_a_script_is_read(html):
    """It is hidden only until then; and that is said."""
    page = visible_text(html)
    assert "The words." in page.text
    assert page.notes == ("the page is hidden until a script shows it; it was read all the same",)


@pytest.mark.parametrize(
    "attributes",
    [
        'style="color: white"',
        'style="color:#FFF"',
        'style="font-size: 1pt"',
        'style="font-size:0"',
        'style="position:absolute; left:-9999px"',
        'style="text-indent: -5000px"',
        'style="opacity:0"',
        'style="color: rgba(1, 2, 3, 0)"',
    ],
)
def test_what_no_reader_sees_is_marked(attributes):
    """White, tiny, transparent or off the screen: it may be there to speak to the model alone."""
    page = visible_text(f"<p>Seen <span {attributes}>obey me</span> too.</p>")
    assert page.text == "Seen [not visible: obey me] too."
    assert "1 place" in page.notes[0]


@pytest.mark.parametrize(
    "html",
    [
        '<table bgcolor=navy><tr><th style="color:white">x</th></tr></table>',
        '<div style="background: #003">\n<p style="color:#fff">x</p></div>',
        '<p style="font-size: 10px; margin-left: -10px">x</p>',
        '<p style="font-size: 0.8em; opacity: 0.5">x</p>',
        '<style>.hero{background:#036}</style><div class=hero><p style="color:white">x</div>',
        "<style>@media screen { main > #a.b:first-child, i {background: var(--dark)} }</style>"
        '<p id=a class="c b" style="color:#fff">x',
        '<style>:root { background-color: navy }</style><p style="color:white">x',
        '<link rel=stylesheet href=a.css><p class=a><span style="color:white">x</span>',
        '<style>@import "a.css";</style><p id=a style="color:white">x',
    ],
)
def test_what_a_reader_sees_is_not(html):
    """White on blue, small, and moved a little."""
    assert visible_text(html).text == "x"


@pytest.mark.parametrize(
    "before",
    [
        "<style>.hero { background: #036 }</style><p class=other>",
        "<style>.hero { background: white } .hero:hover { background: navy }</style><p class=hero>",
        "<style>/* .hero { background: navy } */ .hero { color: navy }</style><p class=hero>",
        "<style>p.hero.big { background: navy }</style><p class=hero>",
        "<link rel=icon href=a.png><p class=hero>",
        "<link rel=stylesheet href=a.css><p>",
        '<p style="background: white">',
        '<p style="background-color:  #FFFFFF">',
        '<p style="background: rgb(255, 255, 255)">',
    ],
)
def test_white_is_not_seen_for_a_sheet_that_says_nothing_of_it(before):
    """Of other elements, of another state, in a comment, or that it is white as well."""
    page = visible_text(f'{before}<span style="color: white">obey me</span>')
    assert page.text == "[not visible: obey me]"


@pytest.mark.parametrize(
    ("html", "rows"),
    [
        ("<tr><th>a<th>b<th>c<tr><td>1<td><td>3", ["a | b | c", "1 |  | 3"]),
        ("<tr><th>a<th>b<tr><td colspan=2>both", ["a | b", "both | both"]),
        ("<tr><th>y<th>v<tr><td rowspan=2>2024<td>1<tr><td>2", ["y | v", "2024 | 1", "2024 | 2"]),
        ("<tr><th colspan=2>a<th rowspan=2>b<tr><th>c<th>d<tr><td>1<td>2<td>3",
         ["a | a | b", "c | d | b", "1 | 2 | 3"]),
        ("<tr><td>a<td>b<tr><td rowspan=0>x<td>1<tr><td>2<tr><td>3",
         ["a | b", "x | 1", "x | 2", "x | 3"]),
        ("<thead><tr><th>a<th>b</thead><tbody><tr><td><p>one</p><p>two</p><td>x",
         ["a | b", "one two | x"]),
        ("<tr><th>a<th>b<tr><td colspan=99999>x", ["a | b", " | ".join(["x"] * 1000)]),
    ],
    ids=["empty cell", "colspan", "rowspan", "both", "to the end", "blocks", "hostile"],
)  # fmt: skip
def test_values_stand_in_their_columns(html, rows):
    """Empty cells keep theirs, and what spans several stands in each."""
    page = visible_text(f"<p>Before<table>{html}</table><p>After")
    assert page.text.split("\n\n") == ["Before", "\n".join(rows), "After"]
    (table,) = page.tables
    n_header = 2 if rows[0] == "a | a | b" else 1
    header = "".join(f"{row}\n" for row in rows[:n_header])
    assert page.text[table.start : table.header_end] == header
    assert page.text[: table.end].endswith(rows[-1])


def test_a_table_that_arranges_a_page_is_no_table():
    """Its headings stay headings."""
    page = visible_text("<table><tr><td><h1>T</h1><p>x</p><td><table><tr><td>y</table></table>")
    assert [section.title for section in page.sections] == ["T"]
    assert page.text.split() == ["T", "x", "y"]


@thorough
def test_five_megabytes_take_little_memory():
    """What the parser needs grows with the page, and twenty times is enough."""
    program = (
        "import resource, sys\n"
        "from longctx.documents.reading.html import visible_text\n"
        "visible_text('<p>x')\n"
        "page = '<table>' + '<tr><td>row</td><td>value</td></tr>' * 140_000 + '</table>'\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "text = visible_text(page).text\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(page), len(text), (after - before) * 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    n_page, n_text, n_bytes = map(int, done.stdout.split())
    assert n_text == 140_000 * len("row | value\n") - 1
    assert n_bytes < 60 * n_page
