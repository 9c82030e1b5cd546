"""A document: text with its provenance."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from longctx import arguments
from longctx.errors import DocumentError
from longctx.types import Frozen

_MAX_HEADER_CHARS = 2000


class Section(Frozen):
    """What stands under one heading: ``Document.text[start:end]``, sub-sections included.

    ``level`` is 1 for the highest heading; ``start`` is where the heading itself begins.
    """

    title: str
    level: int
    start: int
    end: int


class Page(Frozen):
    """One page: ``Document.text[start:end]``. ``number`` counts from 1, as a reader's does."""

    number: int
    start: int
    end: int


class Table(Frozen):
    """A table, a line a row: ``Document.text[start:end]``, its header ``text[start:header_end]``.

    Chunks that begin behind the header repeat it, so that a value never stands without its column.
    """

    start: int
    header_end: int
    end: int


class Document(Frozen):
    """A text that can be put in the window and cited.

    Every character offset in longctx (sections, pages, citations) counts code points of ``text``.

    ``doc_id`` names the document in prompts and citations. ``source`` is the path it was read
    from, ``media_type`` what that was, ``encoding`` what its bytes were decoded as; a document
    made from a string has neither source nor encoding. ``pages`` are in the order of the text.
    ``notes`` say what its file has that ``text`` has not, such as pages that are only images, and
    what was guessed. ``metadata`` is what the file says about itself (YAML front matter, the
    headers of a mail, a document's properties), and what else is known of it, by name: questions
    can be put to those documents alone that have a value there. ``compile`` is the share of its
    keys and values to keep where it stands whole in a window; None keeps all (docs/rag.md).

    Raises:
        DocumentError: ``doc_id`` or ``text`` is empty, no string, or not valid Unicode; or
            ``metadata`` has other names than texts.
        RequestError: ``compile`` is no number above 0 and at most 1.

    Examples:
        >>> Document(doc_id="note", text="The seller bears the risk.").title is None
        True
    """

    doc_id: str
    text: str
    source: str | None = None
    media_type: str = "text/plain"
    title: str | None = None
    encoding: str | None = None
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    compile: float | None = None

    def page_at(self, offset: int) -> int | None:
        """The number of the page on which a character stands; None for a text without pages."""
        i = bisect_right(self.pages, offset, key=lambda page: page.start)
        return self.pages[i - 1].number if i else None

    def headings_at(self, offset: int) -> tuple[str, ...]:
        """The titles that a character stands under, the highest first.

        Examples:
            >>> text = "# Sale\\n## Risk\\nIt passes on delivery."
            >>> from longctx.documents.reading.markdown import markdown_sections
            >>> Document(doc_id="a", text=text, sections=markdown_sections(text)).headings_at(20)
            ('Sale', 'Risk')
        """
        return tuple(s.title for s in self.sections if s.start <= offset < s.end)

    def header_at(self, offset: int) -> str:
        """The header of the table that a character stands in.

        Empty outside of tables, in a header itself, and for headers of more than 2,000 characters,
        which would crowd out what they stand above.
        """
        i = bisect_right(self.tables, offset, key=lambda table: table.start)
        table = self.tables[i - 1] if i else None
        if table is None or not table.header_end <= offset < table.end:
            return ""
        header = self.text[table.start : table.header_end]
        return header if len(header) <= _MAX_HEADER_CHARS else ""

    def __hash__(self) -> int:
        return hash((self.doc_id, self.text))  # metadata is a dict

    @field_validator("doc_id", mode="before")
    @classmethod
    def _needs_name(cls, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise DocumentError(f"doc_id is {value!r}; citations need a name, such as 'contract'")
        return _encodable(value, "doc_id")

    @field_validator("compile", mode="before")
    @classmethod
    def _needs_share(cls, value: object) -> float | None:
        return None if value is None else arguments.real("compile", value, above=0, most=1)

    @field_validator("metadata", mode="before")
    @classmethod
    def _needs_names(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise DocumentError(
                f"metadata is a {type(value).__name__}; pass a dict, such as {{'year': 2024}}"
            )
        if odd := [name for name in value if not isinstance(name, str)]:
            raise DocumentError(
                f"metadata has the name {odd[0]!r}; names are texts: {str(odd[0])!r}"
            )
        # As it comes back from a library on disk, or the same document would be another one.
        return {name: _with_lists(one) for name, one in value.items()}

    @field_validator("text", mode="before")
    @classmethod
    def _needs_text(cls, value: object) -> str:
        if not isinstance(value, str):
            raise DocumentError(f"the text of a document is a str, not a {type(value).__name__}")
        if not value.strip():
            raise DocumentError(
                f"the document holds no text ({len(value)} characters, all of them white space); "
                "leave it out, or look whether it is the file you meant"
            )
        return _encodable(value, "text")

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return (
            f"Document({self.doc_id!r}, {len(self.text)} characters, "
            f"{len(self.sections)} sections, {self.media_type})"
        )


def sections_of(headings: list[tuple[int, str, int]], text_length: int) -> tuple[Section, ...]:
    """Turn headings into sections, each ending where a heading as high begins.

    Args:
        headings: (level, title, start) in the order of the text.
        text_length: characters of the whole text.
    """
    ends = [text_length] * len(headings)
    still_open: list[int] = []
    for i, (level, _, start) in enumerate(headings):
        while still_open and headings[still_open[-1]][0] >= level:
            ends[still_open.pop()] = start
        still_open.append(i)
    return tuple(
        Section(title=title, level=level, start=start, end=end)
        for (level, title, start), end in zip(headings, ends, strict=True)
    )


def _with_lists(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_lists(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_lists(one) for name, one in value.items()}
    return value


def _encodable(value: str, what: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DocumentError(
            f"{what} holds a lone surrogate at character {error.start}, which no tokenizer reads; "
            "decode its bytes with the right encoding, or with errors='replace'"
        ) from error
    return value
