"""Subtitles (SubRip, WebVTT): a line a cue, behind the time at which it begins."""

from __future__ import annotations

import re
from dataclasses import replace

from longctx.documents.reading import plain
from longctx.documents.reading.content import LINE, Content, Source, TextBuilder

_TIMES = re.compile(r"((?:\d+:)?\d{1,2}:\d{2})[.,]\d+[ \t]*-->")
_TAG = re.compile(
    r"</?(?:[bciuv]|ruby|rt|lang|font)\b[^>\n]*>|\{\\an?\d\}|<[\d:.]+>", re.IGNORECASE
)
_BLANK = re.compile(r"\n[ \t]*\n")


def read(source: Source) -> Content:
    """``00:01:30 What is said.``; the text as it is written where no cue is found."""
    content = plain.read(source)
    builder = TextBuilder(source.name)
    for cue in _BLANK.split(content.text):
        lines = cue.strip("\n").split("\n")
        timed = next((i for i, line in enumerate(lines) if _TIMES.match(line.strip())), None)
        if timed is None:
            continue
        begin = _TIMES.match(lines[timed].strip())
        said = " ".join(_TAG.sub("", " ".join(lines[timed + 1 :])).split())
        if begin and said:
            builder.block(f"{begin[1]} {said}", gap=LINE)
    return replace(content, text=builder.content().text) if builder.length else content
