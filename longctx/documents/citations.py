"""Finds what an answer took word for word or ascribes to a source, and checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx.documents.answer import Citation
from longctx.documents.document import Document
from longctx.documents.layout import Block

_QUOTED = re.compile(r"[\"“„]([^\"“”„]+)[\"“”]|«([^«»]+)»")
_MARK = re.compile(r"\[(D\d+(?:\.\d+)?)\]")
# The second set: full stop, exclamation and question mark of Chinese and Japanese. A mark
# behind the stop belongs to the sentence before it.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])\s+(?!\[D\d)|(?<=[\u3002\uff01\uff1f])(?!\s*\[D\d)|(?<=\])\s+(?=[^\W\d_a-z])|\n+"
)
# The comma or full stop that closes a quotation often belongs to the sentence around it.
_CLOSING = " \t\n.,;:!?…\u3002\uff0c\uff01\uff1f"
# Shorter sentences ("Yes, it does.") stand in a document by chance.
_MIN_SENTENCE_CHARS = 20


def find_citations(answer: str, blocks: Sequence[Block]) -> tuple[Citation, ...]:
    """Check an answer's words against what it was made from.

    Every quotation ("…", “…”, „…“, «…»), but for a document's name, becomes a citation, verified
    or not; so does every sentence without a quotation that names a source by its mark; and every
    other sentence of at least 20 characters that stands in a document becomes a verified one.
    Comparison is exact but for white space and closing punctuation. A sentence in the model's
    own words and without a mark gets none: no citation means "not checked", not "wrong".

    Args:
        answer: the model's text.
        blocks: those in the window, in order. Words are looked for in the spans that were there,
            then in the rest of the same documents.

    Returns:
        Quotations, then sentences, each place once.
    """
    sources = _Sources(blocks)
    names = {block.document.doc_id for block in blocks}
    quotations: list[Citation] = []
    sentences: list[Citation] = []
    quoted = [match for match in _QUOTED.finditer(answer) if _words_of(match) not in names]
    for match, following in zip(quoted, [*quoted[1:], None], strict=False):
        if any(c.isalnum() for c in _words_of(match)):
            end = following.start() if following else len(answer)
            mark = _MARK.search(answer, match.end(), _sentence_end(answer, match.end(), end))
            quotations.append(sources.cite(_words_of(match), mark[1] if mark else None))
    for start, end in _sentences(answer):
        sentence = answer[start:end]
        words = _MARK.sub("", sentence).strip().strip('"“”„«»').strip()
        has_quotation = any(match.start() < end and start < match.end() for match in quoted)
        mark = None if has_quotation else _MARK.search(sentence)
        if mark and any(c.isalnum() for c in words):
            sentences.append(sources.cite(words, mark[1]))
        elif words in map(_words_of, quoted):
            continue
        elif len(words) >= _MIN_SENTENCE_CHARS and (found := sources.find(words)):
            sentences.append(found)
    return tuple(_each_place_once(quotations + sentences))


def _words_of(quotation: re.Match[str]) -> str:
    return (quotation[1] or quotation[2]).strip()


def _sentence_end(answer: str, start: int, end: int) -> int:
    match = _SENTENCE_END.search(answer, start, end)
    return match.start() if match else end


def _sentences(answer: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _SENTENCE_END.finditer(answer):
        yield start, match.start()
        start = match.end()
    yield start, len(answer)


def _each_place_once(citations: Sequence[Citation]) -> Iterator[Citation]:
    seen: set[tuple[object, ...]] = set()
    for citation in citations:
        place = (citation.doc_id, citation.start, citation.end, citation.verified)
        key = place if citation.start is not None else (citation.quote, citation.mark)
        if key not in seen:
            seen.add(key)
            yield citation


@dataclass(frozen=True)
class _Sources:
    blocks: Sequence[Block]

    def find(self, words: str, number: str | None = None) -> Citation | None:
        """Where words stand, in one document or in any: verified, without a mark."""
        core = words.rstrip(_CLOSING)
        if not core:
            return None
        pattern = re.compile(
            ("", r"(?<!\w)")[_bounds_words(core[0])]
            + r"\s+".join(map(re.escape, core.split()))
            + ("", r"(?!\w)")[_bounds_words(core[-1])]
        )
        blocks = [b for b in self.blocks if number in (None, _number(b.mark))]
        spans = [(b.document, b.start, b.end) for b in blocks]
        spans += [(b.document, 0, len(b.document.text)) for b in blocks]
        for document, start, end in spans:
            if match := pattern.search(document.text, start, end):
                return _at(document, match.start(), match.end())
        return None

    def cite(self, words: str, mark: str | None) -> Citation:
        """What becomes of a quotation or a claim, with the mark behind it."""
        if mark is None:
            return self.find(words) or Citation(quote=words, verified=False)
        if found := self.find(words, _number(mark)):
            return found.model_copy(update={"mark": mark})
        if elsewhere := self.find(words):
            return elsewhere.model_copy(update={"mark": mark, "verified": False, "quote": words})
        named = next((b for b in self.blocks if _number(b.mark) == _number(mark)), None)
        doc_id = named.document.doc_id if named else None
        return Citation(quote=words, verified=False, mark=mark, doc_id=doc_id)


def _number(mark: str) -> str:
    """The document's part of a mark: models that see ``D1.4`` write ``D1`` too."""
    return mark.split(".")[0]


def _at(document: Document, start: int, end: int) -> Citation:
    headings = document.headings_at(start)
    return Citation(
        quote=document.text[start:end],
        verified=True,
        doc_id=document.doc_id,
        start=start,
        end=end,
        page=document.page_at(start),
        heading=headings[-1] if headings else None,
    )


def _bounds_words(character: str) -> bool:
    """Whether a quotation with this edge must not begin or end inside a word.

    Not where the script parts no words (Chinese, Japanese, Thai) or the edge is punctuation.
    Letters with capitals belong to scripts that do.
    """
    return character.isdigit() or character.lower() != character.upper()
