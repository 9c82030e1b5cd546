"""Finds what an answer took word for word, and checks what it claims to quote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from longctx.documents.answer import Citation
from longctx.documents.document import Document

_QUOTED = re.compile(r"[\"“„]([^\"“”„]+)[\"“”]|«([^«»]+)»")
# The second set: full stop, exclamation and question mark of Chinese and Japanese.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
# The comma or full stop that closes a quotation often belongs to the sentence around it.
_CLOSING = " \t\n.,;:!?…\u3002\uff0c\uff01\uff1f"
# Shorter sentences ("Yes, it does.") stand in a document by chance.
_MIN_SENTENCE_CHARS = 20


def find_citations(answer: str, documents: Sequence[Document]) -> tuple[Citation, ...]:
    """Check an answer's words against the documents that it was made from.

    Every quotation ("…", “…”, „…“, «…»), but for a document's name, becomes a citation, verified
    or not; every sentence of at least 20 characters that stands in a document, a verified one.
    Comparison is exact but for white space and closing punctuation. A sentence in the model's
    own words gets none: no citation means "not checked", not "wrong".

    Args:
        answer: the model's text.
        documents: those in the window, in order; the first that holds the words is cited.

    Returns:
        Quotations, then sentences, each place once.
    """
    names = {document.doc_id for document in documents}
    quotations = [
        _locate(words, documents) or Citation(quote=words, verified=False)
        for words in _quotations(answer)
        if words not in names
    ]
    sentences = [found for words in _sentences(answer) if (found := _locate(words, documents))]
    return tuple(dict.fromkeys(quotations + sentences))


def _quotations(answer: str) -> Iterator[str]:
    for match in _QUOTED.finditer(answer):
        words = (match[1] or match[2]).strip()
        if any(c.isalnum() for c in words):
            yield words


def _sentences(answer: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(answer):
        words = sentence.strip().strip('"“”„«»').strip()
        if len(words) >= _MIN_SENTENCE_CHARS:
            yield words


def _locate(words: str, documents: Sequence[Document]) -> Citation | None:
    core = words.rstrip(_CLOSING)
    if not core:
        return None
    pattern = re.compile(
        ("", r"(?<!\w)")[_bounds_words(core[0])]
        + r"\s+".join(map(re.escape, core.split()))
        + ("", r"(?!\w)")[_bounds_words(core[-1])]
    )
    for document in documents:
        if match := pattern.search(document.text):
            return Citation(
                quote=match[0],
                verified=True,
                doc_id=document.doc_id,
                start=match.start(),
                end=match.end(),
            )
    return None


def _bounds_words(character: str) -> bool:
    """Whether a quotation with this edge must not begin or end inside a word.

    Not where the script parts no words (Chinese, Japanese, Thai) or the edge is punctuation.
    Letters with capitals belong to scripts that do.
    """
    return character.isdigit() or character.lower() != character.upper()
