"""Markup, notebooks, subtitles and CSV: the text stays, and its structure is known."""

from __future__ import annotations

import json

import pytest

from longctx.documents.chunks import chunks_of
from longctx.documents.layout import passage_block
from longctx.errors import DocumentError

RST = """=====
Title
=====

One
---
text

=====  =====
a      b
=====  =====

Two
---
* item

Deep
~~~~
"""
ADOC = "= Title\n:author: x\n\n== One\ntext\n----\n== no heading\n----\n=== Deep\n## Two\n"
ORG = "#+TITLE: Ships\n* One :tag:\n** TODO Deep\n#+begin_src sh\n* no heading\n#+end_src\n* Two\n"
TEX = r"""\title{The \emph{Ship}}
\section[short]{One}
% \section{commented}
\subsection*{Deep $\{x\}$}
\section{Two}"""


@pytest.mark.parametrize(
    ("name", "text", "sections"),
    [
        ("a.rst", RST, [("Title", 1), ("One", 2), ("Two", 2), ("Deep", 3)]),
        ("a.adoc", ADOC, [("Title", 1), ("One", 2), ("Deep", 3), ("Two", 2)]),
        ("a.org", ORG, [("One", 1), ("Deep", 2), ("Two", 1)]),
        ("a.tex", TEX, [("One", 1), (r"Deep $\{x\}$", 2), ("Two", 1)]),
    ],
)
def test_headings_of_markup(read, name, text, sections):
    """Each of its own kind; what only looks like one is none. The text stays as it is."""
    document = read(name, text)
    assert document.text == text
    assert [(s.title, s.level) for s in document.sections] == sections


def test_titles(read):
    """What a file calls itself."""
    assert read("a.org", ORG).title == "Ships"
    assert read("a.tex", TEX).title == r"The \emph{Ship}"


def test_front_matter_is_metadata(read):
    """Not text; offsets count from what follows it."""
    text = "---\ntitle: Risk\ntags: [a, b]\ndate: 2024-05-09\ndeep: {x: 1}\n---\n\n# One\ntext\n"
    document = read("a.md", text)
    assert document.text == "# One\ntext\n"
    assert document.title == "Risk"
    assert document.metadata == {"title": "Risk", "tags": "a, b", "date": "2024-05-09"}
    assert document.text[document.sections[0].start :].startswith("# One")


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("---\na: [b\n---\ntext", 1),
        ("---\njust words\n---\ntext", 0),
        ("text\n---\na: b\n---\n", 0),
        ("---\nnever: closed\n", 0),
    ],
    ids=["broken", "rules", "not at the front", "open"],
)
def test_what_is_no_front_matter_stays(read, text, notes):
    """In the text, and said where it looks like some."""
    document = read("a.md", text)
    assert (document.text, document.metadata, len(document.notes)) == (text, {}, notes)


def test_front_matter_cannot_grow(read):
    """A billion laughs of aliases are left out unread."""
    laughs = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12))
    document = read("a.md", f"---\nl0: &l0 ha\n{laughs}---\ntext")
    assert document.text == "text"
    assert sum(map(len, document.metadata.values())) < 100


NOTEBOOK = {
    "nbformat": 4,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "source": ["# Ships\n", "They sail."]},
        {
            "cell_type": "code",
            "source": "# no heading\n1 + 1",
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
                {"output_type": "display_data", "data": {"image/png": "aaaa"}},
                {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["x"]},
            ],
        },
    ],
}


def test_notebooks(read):
    """Cells as Markdown, with what they printed; pictures are counted."""
    document = read("a.ipynb", json.dumps(NOTEBOOK))
    assert document.text == (
        "# Ships\nThey sail.\n\n```python\n# no heading\n1 + 1\n```\n\n```output\n2\n```\n\n"
        "```output\nE: no\n```"
    )
    assert (document.title, len(document.sections)) == ("Ships", 1)
    assert document.notes == ("1 picture in outputs not read",)
    for data, text in (
        (
            {"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": ["*4", "2*"]},
            "*42*",
        ),
        ({"text/plain": ["<x.HTML object at 0x7f3a>"], "text/html": "<b>4</b>2"}, "42"),
        ({"text/html": "<b>42</b>"}, "42"),
        ({"text/plain": "<x.Math object>", "text/latex": "$x$"}, "$x$"),
        ({"text/plain": "<x.JSON object>", "application/json": [4]}, "[\n 4\n]"),
        ({"text/plain": "   a\n0  1", "text/html": "<table></table>"}, "   a\n0  1"),
        ({"text/plain": "<x.Y object>"}, "<x.Y object>"),
    ):
        cell = {"cell_type": "code", "source": "", "outputs": [{"data": data}]}
        shown = read("a.ipynb", json.dumps({"cells": [cell]})).text
        assert shown == f"```output\n{text}\n```"
    half = json.dumps(NOTEBOOK).replace("# Ships", r"# S\ud83dhips")
    document = read("a.ipynb", half)
    assert document.title == document.sections[0].title == "S\ufffdhips"
    assert "1 character of which half is missing" in document.notes
    for damaged in ('{"cells": 3}', "[]", "{", '{"cells": [{}]}'):
        with pytest.raises(DocumentError, match="malformed notebook"):
            read("b.ipynb", damaged)


SRT = """1
00:00:01,500 --> 00:00:03,000
<i>The ship</i>
sails.

2
01:02:03,000 --> 01:02:04,000
End
"""
VTT = """WEBVTT - x

NOTE no cue

id
00:01.500 --> 00:03.000 align:start
<v Ann>The ship
sails.
"""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.srt", SRT, "00:00:01 The ship sails.\n01:02:03 End"),
        ("a.vtt", VTT, "00:01 The ship sails."),
        ("b.srt", "no cues\n", "no cues\n"),
    ],
)
def test_subtitles(read, name, text, said):
    """What is said, and when it begins."""
    assert read(name, text).text == said


@pytest.mark.parametrize(
    ("name", "text", "header"),
    [
        ("a.csv", "part,price\nhub,1\nblade,2\n", "part,price\n"),
        ("a.csv", '"part\nname";price\nhub;1\n', '"part\nname";price\n'),
        ("a.tsv", "part\tprice\nhub\t1\n", "part\tprice\n"),
        ("a.csv", "only a header\n", ""),
    ],
)
def test_the_header_of_a_csv(read, name, text, header):
    """Its first record, a quoted line end included; the text stays as it is."""
    document = read(name, text)
    assert document.text == text
    assert document.header_at(len(text) - 1) == header


def test_tables_of_markdown(read):
    """By the line below their headers."""
    text = "a | b, no table\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\n\nend\n---\n"
    document = read("a.md", text)
    assert document.header_at(text.index("3")) == "| a | b |\n|---|:-:|\n"
    assert document.header_at(text.index("end")) == ""


def test_each_chunk_of_a_long_table_has_its_header(read):
    """When it is searched, and when it stands in the window; nothing is lost or doubled."""
    rows = "".join(f"ship {i},{i * 7919 % 997},Hull\n" for i in range(400))
    document = read("a.csv", f"name,price,port\n{rows}")
    chunks = chunks_of(document, len, 300)
    assert "".join(chunk.text for chunk in chunks) == document.text
    assert len(chunks) > 20
    for chunk in chunks:
        assert chunk.searchable.count("name,price,port") == 1
        assert len(chunk.searchable) <= 300
        block = passage_block(document, f"D1.{chunk.number}", chunk.start, chunk.end)
        assert block.text.count("name,price,port\n") == 1
        assert ("name,price,port" in block.markers) == (chunk.start > 0)


def test_a_header_that_would_crowd_out_its_rows(read):
    """Thousands of columns are not repeated."""
    header = ",".join(f"column {i}" for i in range(1000))
    document = read("a.csv", f"{header}\n{'1,' * 999}1\n")
    assert document.header_at(len(document.text) - 1) == ""
