"""Documents in pieces that can be searched: spans of their text, cut where the text pauses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from longctx.documents.document import Document

CHUNK_TOKENS = 192
"""Below the 256 word pieces that small embedders read, and a few paragraphs of prose."""

# From the widest pause to the narrowest; each pattern ends a piece. The second set of the third
# is the full stop, exclamation and question mark of Chinese and Japanese.
_PAUSES = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f\uff1b])"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True)
class Chunk:
    """``document.text[start:end]``, the ``number``-th of its document (from 1), in tokens."""

    document: Document
    number: int
    start: int
    end: int
    tokens: int

    @property
    def text(self) -> str:
        """The span itself."""
        return self.document.text[self.start : self.end]

    @property
    def searchable(self) -> str:
        """The span below the titles, and the table's header, that it stands under: what rankings
        read."""
        titles = " > ".join(self.document.headings_at(self.start))
        header = self.document.header_at(self.start).rstrip("\n")
        return "\n".join([*filter(None, [titles, header]), self.text]).strip()


def chunks_of(
    document: Document, count: Callable[[str], int], max_tokens: int = CHUNK_TOKENS
) -> tuple[Chunk, ...]:
    """Cut a document into spans of at most ``max_tokens`` that together are its whole text.

    A span ends before a heading, a page or a table where it can, else at a paragraph, a line, a
    sentence or a word; a word longer than that is halved. One that begins inside a table leaves
    room for the table's header, which stands before it wherever it is shown.

    Args:
        document: what to cut.
        count: tokens of a text. They are counted apart from their neighbours, so that a sum of
            them is near to, and not exactly, the count of the joined text.
        max_tokens: of one span.
    """
    text = document.text
    edges = {0, len(text), *(s.start for s in document.sections)}
    edges |= {page.start for page in document.pages}
    edges |= {edge for table in document.tables for edge in (table.start, table.end)}
    spans: list[tuple[int, int, int]] = []
    for start, end in _pairs(sorted(edges)):
        open_start, open_tokens = start, 0
        # Just before its end, for a table begins with its header.
        header = count(document.header_at(end - 1)) if document.tables else 0
        room = max(max_tokens - header, max_tokens // 2)
        for piece_start, piece_end, tokens in _pieces(text, start, end, count, room):
            if open_tokens and open_tokens + tokens > room:
                spans.append((open_start, piece_start, open_tokens))
                open_start, open_tokens = piece_start, 0
            open_tokens += tokens
            if piece_end == end:
                spans.append((open_start, end, open_tokens))
    return tuple(
        Chunk(document, number, start, end, tokens)
        for number, (start, end, tokens) in enumerate(_join_short(spans, max_tokens), start=1)
    )


def _pieces(
    text: str, start: int, end: int, count: Callable[[str], int], max_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Cut a span at its widest pauses, and what is still too long at narrower ones."""
    stack = [(start, end, 0)]
    while stack:
        start, end, level = stack.pop()
        # A token is at least a byte; a text much longer than that need not be counted to be cut.
        if end - start <= 64 * max_tokens:
            tokens = count(text[start:end])
            if tokens <= max_tokens or end - start == 1:
                yield start, end, tokens
                continue
        if level < len(_PAUSES):
            cuts = [match.end() for match in _PAUSES[level].finditer(text, start, end)]
        else:
            cuts = [(start + end) // 2]
        edges = [start, *(cut for cut in cuts if start < cut < end), end]
        stack += [(a, b, level + 1) for a, b in reversed(_pairs(edges))]


def _join_short(
    spans: list[tuple[int, int, int]], max_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Let a heading with little below it stand with what follows."""
    joined: tuple[int, int, int] | None = None
    for start, end, tokens in spans:
        if joined and joined[2] < max_tokens // 4 and joined[2] + tokens <= max_tokens:
            joined = (joined[0], end, joined[2] + tokens)
            continue
        if joined:
            yield joined
        joined = (start, end, tokens)
    if joined:
        yield joined


def _pairs(edges: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in pairwise(edges) if a < b]
