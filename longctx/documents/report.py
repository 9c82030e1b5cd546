"""What was in the window, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.documents.answer import DocumentTokens, PackingReport, Passage
from longctx.documents.asking import Asking
from longctx.documents.layout import Block
from longctx.documents.library import Entry, Library


def describe(entries: Sequence[Entry]) -> str:
    """Their number in words."""
    return "1 document" if len(entries) == 1 else f"{len(entries)} documents"


def passages_of(library: Library, blocks: Sequence[Block]) -> tuple[Passage, ...]:
    """What stands, or will stand, in the window, with the tokens of each."""
    return tuple(
        Passage(
            mark=block.mark,
            doc_id=block.document.doc_id,
            start=block.start,
            end=block.end,
            page=block.document.page_at(block.start),
            tokens=library.tokens(block),
        )
        for block in blocks
    )


def packing_report(
    asking: Asking,
    strategy: str,
    reason: str,
    library: Library,
    blocks: Sequence[Block],
    notes: Sequence[str] = (),
) -> PackingReport:
    """Account for an answered question.

    Args:
        asking: after its calls.
        strategy: what was done.
        reason: why.
        library: all documents; those that were not asked are left out.
        blocks: what of them was read.
        notes: on the search.
    """
    sizes = {id(block): library.tokens(block) for block in blocks}
    read: dict[str, int] = {}
    for block in blocks:
        doc_id = block.document.doc_id
        read[doc_id] = read.get(doc_id, 0) + sizes[id(block)]
    left_out = [
        DocumentTokens(doc_id=entry.doc_id, tokens=tokens)
        for entry in library.entries
        if (tokens := _left_out(entry, library, blocks))
    ]
    in_window = sum(sizes[id(block)] for block in asking.largest_blocks)
    return PackingReport(
        strategy=strategy,
        reason=reason,
        documents=tuple(DocumentTokens(doc_id=d, tokens=t) for d, t in read.items()),
        passages=passages_of(library, [block for block in blocks if block.is_passage]),
        left_out=tuple(left_out),
        calls=asking.calls,
        prompt_tokens=asking.largest_prompt,
        other_tokens=asking.largest_prompt - in_window,
        reserved_tokens=asking.reserved_tokens,
        free_tokens=asking.room - asking.largest_prompt,
        budget_tokens=asking.budget_tokens,
        target_ctx=asking.llm.target_ctx,
        notes=tuple(notes),
    )


def _left_out(entry: Entry, library: Library, blocks: Sequence[Block]) -> int:
    spans = [(b.start, b.end) for b in blocks if b.document is entry.document]
    if not spans:
        return entry.tokens
    if spans == [(0, len(entry.document.text))]:
        return 0
    return sum(
        chunk.tokens
        for chunk in library.chunks(entry)
        if not any(start <= chunk.start < end for start, end in spans)
    )
