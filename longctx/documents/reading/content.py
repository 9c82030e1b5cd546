"""What a reader is given, what it gives back, and how it puts that together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from longctx.documents.document import Page, Section, Table, sections_of
from longctx.documents.reading.invisible import note_of, told
from longctx.documents.reading.limits import check_text

PARAGRAPH = "\n\n"
LINE = "\n"
CELL = " | "


@dataclass(frozen=True)
class Source:
    """A file's bytes, its name for messages, and what the caller knows about it.

    ``read_inner`` reads a file that is in it, for a reader of one format does not know the others;
    ``depth`` is in how many files it lies itself.
    """

    data: bytes
    name: str
    encoding: str | None = None
    password: str | None = None
    read_inner: Callable[[Source, PurePath], Content] | None = None
    depth: int = 0


@dataclass(frozen=True)
class Content:
    """What a file says; offsets count characters of ``text``."""

    text: str
    title: str | None = None
    encoding: str | None = None
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    def with_notes(self, *notes: str) -> Content:
        """The same, with more said about it."""
        return replace(self, notes=(*self.notes, *notes))


class TextBuilder:
    """Collects the text of a file, and where its headings, pages and tables stand.

    Args:
        name: of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[str] = []
        self._headings: list[tuple[int, str, int]] = []
        self._page_starts: list[int] = []
        self._tables: list[Table] = []
        self._n_unseen = 0
        self.notes: list[str] = []
        self.length = 0

    def block(self, text: str, *, level: int = 0, gap: str = PARAGRAPH) -> int | None:
        """Add a text behind a gap; with a ``level`` it is a heading.

        Returns:
            Where it begins; None if it is white space and was left out.
        """
        if not text.strip():
            return None
        start = self._append(text, gap)
        if level:
            self._headings.append((level, " ".join(text.split()), start))
        return start

    def table(
        self, rows: Iterable[Sequence[str]], *, header_rows: int = 1, gap: str = PARAGRAPH
    ) -> None:
        """Add rows of cells, a line each; the first are the header of the others.

        Empty cells keep their columns; rows without any text are left out.
        """
        start = header_end = None
        for cells in rows:
            if not any(cells):
                continue
            line = CELL.join(" ".join(cell.split()) for cell in cells).rstrip(" ")
            begin = self._append(line, gap if start is None else LINE)
            if start is None:
                start = begin
            if header_rows:
                header_rows -= 1
                header_end = self.length + 1
        if start is not None and header_end is not None and header_end < self.length:
            self._tables.append(Table(start=start, header_end=header_end, end=self.length))

    def page(self, start: int | None = None) -> None:
        """Begin a page, here or at an offset; before the first one there is page 1."""
        self._page_starts.append(self.length if start is None else start)

    def note(self, text: str) -> None:
        """Say what was guessed or left out, once."""
        if text not in self.notes:
            self.notes.append(text)

    def embed(self, content: Content, *, gap: str = PARAGRAPH, below: int = 0) -> None:
        """Add what another reader read, with its headings (so many levels further down), tables
        and notes."""
        start = self.block(content.text, gap=gap)
        if start is None:
            return
        self._headings += [(s.level + below, s.title, s.start + start) for s in content.sections]
        self._tables += [
            Table(start=t.start + start, header_end=t.header_end + start, end=t.end + start)
            for t in content.tables
        ]
        for note in content.notes:
            self.note(note)

    def content(
        self, *, title: str | None = None, metadata: dict[str, str] | None = None
    ) -> Content:
        """All of it."""
        if self._n_unseen:
            self.note(note_of(self._n_unseen))
            self._n_unseen = 0
        starts = self._page_starts
        pages = tuple(
            Page(number=number, start=start, end=end)
            for number, (start, end) in enumerate(
                zip(starts, [*starts[1:], self.length][: len(starts)], strict=True), start=1
            )
        )
        return Content(
            text="".join(self._parts),
            title=title,
            sections=sections_of(self._headings, self.length),
            pages=pages,
            tables=tuple(self._tables),
            notes=tuple(self.notes),
            metadata=metadata or {},
        )

    def _append(self, text: str, gap: str) -> int:
        text, n_unseen = told(text)
        self._n_unseen += n_unseen
        check_text(self._name, self.length + len(text))
        if self._parts:
            self._parts.append(gap)
            self.length += len(gap)
        start = self.length
        self._parts.append(text)
        self.length += len(text)
        return start


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """``3 footnotes``, ``1 footnote``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"
