"""Finds what an answer took word for word or ascribes to a source, and checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from longctx.documents.answer import Citation, CitationStatus
from longctx.documents.document import Document
from longctx.documents.layout import Block
from longctx.documents.quotations.alignment import Quotation, Searched
from longctx.documents.quotations.near import Near, nearest
from longctx.documents.quotations.spoken import Spoken, spoken_in

# Shorter sentences ("Yes, it does.") stand in a document by chance. In bytes, which is fair to
# scripts whose characters say more.
_MIN_SENTENCE_BYTES = 20
_LEFT_OUT = re.compile(r"[\[(]?(?:\u2026|\.{3,})[\])]?")


def find_citations(answer: str, blocks: Sequence[Block]) -> tuple[Citation, ...]:
    """Check an answer's words against what it was made from.

    Every quotation, in marks of any language, but for a document's name, becomes a citation, one
    for each mark behind it; so does every sentence without a quotation that names a source by its
    mark; and every other sentence of some length that stands in a document becomes a verified
    one. A sentence in the model's own words and without a mark gets none: no citation means "not
    checked", not "wrong".

    Args:
        answer: the model's text, or its JSON.
        blocks: those in the window, in order. Words are looked for in the spans that were there,
            then in the rest of the same documents.

    Returns:
        Quotations, then sentences, each place once.
    """
    sources = Sources(blocks)
    names = {block.document.doc_id for block in blocks}
    spoken = spoken_in(answer, names)
    said = {" ".join(one.words.split()) for one in spoken if one.is_quotation}
    citations: list[Citation] = []
    for one in (part for whole in spoken for part in sources.parted(whole)):
        if one.is_quotation or one.marks:
            citations += sources.judge(one)
        elif " ".join(one.words.split()) not in said and _is_telling(one.words):
            citations += sources.found(one.words)
    return tuple(_each_place_once(citations))


def _is_telling(sentence: str) -> bool:
    return len(sentence.encode("utf-8", "replace")) >= _MIN_SENTENCE_BYTES


def _each_place_once(citations: Sequence[Citation]) -> Iterator[Citation]:
    seen: set[tuple[object, ...]] = set()
    for citation in citations:
        place = (citation.doc_id, citation.start, citation.end, citation.status)
        key = place if citation.start is not None else (citation.quote, citation.mark)
        if key not in seen:
            seen.add(key)
            yield citation


class Sources:
    """What an answer was made from, to judge its words by.

    Args:
        blocks: those in the window, in order.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._searched: dict[str, Searched] = {}

    def found(self, words: str) -> list[Citation]:
        """Where a sentence stands, if it does: it names no source, and claims nothing."""
        place = self._find(Quotation.of(words), None)
        return [_at("verified", *place)] if place else []

    def parted(self, spoken: Spoken) -> list[Spoken]:
        """A quotation that leaves words out, in the parts that it has; any other as it is."""
        parts = [part for part in _LEFT_OUT.split(spoken.words) if any(map(str.isalnum, part))]
        if not spoken.is_quotation or len(parts) < 2 or self.found(spoken.words):
            return [spoken]
        return [replace(spoken, words=part.strip()) for part in parts]

    def judge(self, spoken: Spoken) -> Iterator[Citation]:
        """What becomes of a quotation or a claim, for each of the marks behind it."""
        quotation = Quotation.of(spoken.words)
        for mark in spoken.marks or (None,):
            if place := self._find(quotation, mark):
                yield _at("verified", *place, mark=mark)
            elif mark and (place := self._find(quotation, None)):
                yield _at("elsewhere", *place, mark=mark, quote=spoken.words)
            elif near := self._nearest(quotation, mark):
                document, there = near
                yield _at(
                    "near", document, there.start, there.end,
                    mark=mark, quote=spoken.words, differs_in=there.differs_in,
                )  # fmt: skip
            else:
                named = next((b.document.doc_id for b in self._of(mark)), None) if mark else None
                yield Citation(quote=spoken.words, status="absent", mark=mark, doc_id=named)

    def _find(
        self, quotation: Quotation | None, mark: str | None
    ) -> tuple[Document, int, int] | None:
        """Where words stand, in the marked document or in any."""
        if quotation is None:
            return None
        blocks = self._of(mark)
        spans = [(b.document, b.start, b.end) for b in blocks]
        spans += [(b.document, 0, len(b.document.text)) for b in blocks if b.is_passage]
        for document, start, end in spans:
            if found := self._text(document).find(quotation, start, end):
                return document, *found
        return None

    def _nearest(
        self, quotation: Quotation | None, mark: str | None
    ) -> tuple[Document, Near] | None:
        """Where nearly the words stand among what was read: in the marked document, or in any."""
        if quotation is None:
            return None
        for blocks in (self._of(mark), self._blocks) if mark else (self._blocks,):
            found = [
                (b.document, near)
                for b in blocks
                if (near := nearest(quotation, self._text(b.document), b.start, b.end))
            ]
            if found:
                return min(found, key=lambda one: one[1].differs_in)
        return None

    def _of(self, mark: str | None) -> list[Block]:
        """The blocks of a document: models that see ``D1.4`` write ``D1`` too."""
        number = mark and mark.split(".")[0]
        return [b for b in self._blocks if number in (None, b.mark.split(".")[0])]

    def _text(self, document: Document) -> Searched:
        if document.doc_id not in self._searched:
            self._searched[document.doc_id] = Searched(document.text)
        return self._searched[document.doc_id]


def _at(
    status: CitationStatus,
    document: Document,
    start: int,
    end: int,
    *,
    quote: str | None = None,
    mark: str | None = None,
    differs_in: int | None = None,
) -> Citation:
    headings = document.headings_at(start)
    return Citation(
        quote=document.text[start:end] if quote is None else quote,
        status=status,
        mark=mark,
        doc_id=document.doc_id,
        start=start,
        end=end,
        page=document.page_at(start),
        heading=headings[-1] if headings else None,
        differs_in=differs_in,
    )
