"""Markup that people read as it is written: the text stays, its headings become sections."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from longctx.documents.document import Section, sections_of
from longctx.documents.reading import plain
from longctx.documents.reading.content import Content, Source, counted
from longctx.documents.reading.front_matter import split_front_matter
from longctx.documents.reading.markdown import first_title, markdown_sections, markdown_tables
from longctx.documents.reading.markdown_comments import mark_comments

_RST_LINE = re.compile(r"([=\-`:.'\"~^_*+#<>])\1{2,}[ \t]*$")
_ASCIIDOC = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)[ \t]*$")
_ASCIIDOC_FENCE = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|```)[ \t]*$")
_ORG = re.compile(r"(\*+)[ \t]+(?:(?:TODO|DONE)[ \t]+)?(\S.*?)(?:[ \t]+:[\w@:]+:)?[ \t]*$")
_ORG_TITLE = re.compile(r"#\+title:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_TEX = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{", re.MULTILINE
)
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_TEX_TITLE = re.compile(r"\\title(?:\[[^\]]*\])?\{")

_Headings = list[tuple[int, str, int]]


def read_markdown(source: Source) -> Content:
    """Markdown; YAML front matter is metadata and no text. Comments, which no page shows, are
    marked."""
    content = plain.read(source)
    metadata, text, notes = split_front_matter(content.text)
    text, n_comments = mark_comments(text)
    if n_comments:
        comments = counted(n_comments, "comment")
        notes += (f"{comments} that no page shows marked [not visible: …]",)
    sections = markdown_sections(text)
    return replace(
        content,
        text=text,
        title=metadata.get("title") or first_title(sections),
        sections=sections,
        tables=markdown_tables(text),
        metadata=metadata,
        notes=(*content.notes, *notes),
    )


def read_rst(source: Source) -> Content:
    """reStructuredText: titles are underlined, the order of the marks gives their levels."""
    return _with_sections(source, _rst_headings)


def read_asciidoc(source: Source) -> Content:
    """AsciiDoc: ``= Title``, ``== Section``, not in listings."""
    return _with_sections(source, _asciidoc_headings)


def read_org(source: Source) -> Content:
    """Org: ``* Heading``; ``#+title:`` is the title."""
    content = _with_sections(source, _org_headings)
    match = _ORG_TITLE.search(content.text)
    return replace(content, title=match[1] if match else content.title)


def read_tex(source: Source) -> Content:
    r"""TeX: ``\section{…}`` and its kin; ``\title{…}`` is the title."""
    content = _with_sections(source, _tex_headings)
    match = _TEX_TITLE.search(content.text)
    title = _braced(content.text, match.end()) if match else content.title
    return replace(content, title=title)


def _with_sections(source: Source, find: Callable[[str], _Headings]) -> Content:
    content = plain.read(source)
    sections: tuple[Section, ...] = sections_of(find(content.text), len(content.text))
    return replace(content, sections=sections, title=first_title(sections))


def _lines(text: str) -> list[tuple[str, int]]:
    lines, start = [], 0
    for line in text.split("\n"):
        lines.append((line, start))
        start += len(line) + 1
    return lines


def _rst_headings(text: str) -> _Headings:
    lines = _lines(text)
    headings: _Headings = []
    styles: list[str] = []
    for i in range(1, len(lines)):
        under = _RST_LINE.match(lines[i][0])
        title, start = lines[i - 1]
        above = lines[i - 2][0] if i > 1 else ""
        if under is None or not title.strip() or _RST_LINE.match(title):
            continue
        overlined = above.rstrip() == lines[i][0].rstrip()
        if len(lines[i][0].rstrip()) < len(title.rstrip()) or (title[0] in " \t" and not overlined):
            continue
        if above.strip() and not overlined:
            continue  # a table's border, or the end of a paragraph
        style = under[1] * (2 if overlined else 1)
        if style not in styles:
            styles.append(style)
        begin = lines[i - 2][1] if overlined else start
        headings.append((styles.index(style) + 1, title.strip(), begin))
    return headings


def _asciidoc_headings(text: str) -> _Headings:
    headings: _Headings = []
    fence = ""
    for line, start in _lines(text):
        if mark := _ASCIIDOC_FENCE.match(line):
            fence = "" if mark[1] == fence else fence or mark[1]
        elif not fence and (heading := _ASCIIDOC.match(line)):
            headings.append((len(heading[1]), heading[2], start))
    return headings


def _org_headings(text: str) -> _Headings:
    headings: _Headings = []
    in_block = False
    for line, start in _lines(text):
        lowered = line.lstrip()[:8].lower()
        if lowered.startswith("#+begin_"):
            in_block = True
        elif lowered.startswith("#+end_"):
            in_block = False
        elif not in_block and (heading := _ORG.match(line)):
            headings.append((len(heading[1]), heading[2], start))
    return headings


def _tex_headings(text: str) -> _Headings:
    found = []
    for match in _TEX.finditer(text):
        line_start = text.rfind("\n", 0, match.start()) + 1
        if "%" in text[line_start : match.start()].replace("\\%", ""):
            continue
        title = _braced(text, match.end())
        if title:
            found.append((_TEX_LEVELS.index(match[1]), title, match.start()))
    highest = min((level for level, _, _ in found), default=0)
    return [(level - highest + 1, title, start) for level, title, start in found]


def _braced(text: str, start: int) -> str:
    """What stands up to the brace that closes; empty if none does soon."""
    depth = 1
    for i in range(start, min(len(text), start + 1000)):
        depth += {"{": 1, "}": -1}.get(text[i], 0) if text[i - 1] != "\\" else 0
        if not depth:
            return " ".join(text[start:i].split())
    return ""
