"""What was in the window, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.documents.answer import (
    CompiledDocument,
    DocumentTokens,
    PackingReport,
    Passage,
    Repeat,
)
from longctx.documents.asking import Asking
from longctx.documents.entry import Entry
from longctx.documents.holdings import Holdings
from longctx.documents.layout import Block


def describe(entries: Sequence[Entry]) -> str:
    """Their number in words."""
    return "1 document" if len(entries) == 1 else f"{len(entries)} documents"


def passages_of(holdings: Holdings, blocks: Sequence[Block]) -> tuple[Passage, ...]:
    """What stands, or will stand, in the window, with the tokens of each."""
    return tuple(
        Passage(
            mark=block.mark,
            doc_id=block.document.doc_id,
            start=block.start,
            end=block.end,
            page=block.document.page_at(block.start),
            tokens=holdings.tokens(block),
        )
        for block in blocks
    )


def packing_report(
    asking: Asking,
    strategy: str,
    reason: str,
    holdings: Holdings,
    blocks: Sequence[Block],
    notes: Sequence[str] = (),
    repeats: Sequence[Repeat] = (),
    compiled: Sequence[CompiledDocument] = (),
) -> PackingReport:
    """Account for an answered question.

    Args:
        asking: after its calls.
        strategy: what was done.
        reason: why.
        holdings: all documents; those that were not asked are left out.
        blocks: what of them was read.
        notes: on the search.
        repeats: what was asked, and is the same as something else that was.
        compiled: what stood compressed.
    """
    sizes = {id(block): holdings.tokens(block) for block in blocks}
    read: dict[str, int] = {}
    for block in blocks:
        doc_id = block.document.doc_id
        read[doc_id] = read.get(doc_id, 0) + sizes[id(block)]
    twice = {repeat.doc_id for repeat in repeats}
    of = _by_document(blocks)
    left_out = [
        DocumentTokens(doc_id=entry.doc_id, tokens=tokens)
        for entry in holdings.entries
        if entry.doc_id not in twice and (tokens := _left_out(entry, of.get(entry.doc_id, ())))
    ]
    in_window = sum(sizes[id(block)] for block in asking.largest_blocks)
    return PackingReport(
        strategy=strategy,
        reason=reason,
        documents=tuple(DocumentTokens(doc_id=d, tokens=t) for d, t in read.items()),
        passages=passages_of(holdings, [block for block in blocks if block.is_passage]),
        left_out=tuple(left_out),
        repeats=tuple(repeats),
        compiled=tuple(compiled),
        calls=asking.calls,
        prompt_tokens=asking.largest_prompt,
        other_tokens=asking.largest_prompt - in_window,
        reserved_tokens=asking.reserved_tokens,
        free_tokens=asking.room - asking.largest_prompt,
        budget_tokens=asking.budget_tokens,
        target_ctx=asking.llm.target_ctx,
        notes=tuple(notes),
    )


def _by_document(blocks: Sequence[Block]) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks:
        found.setdefault(block.document.doc_id, []).append(block)
    return found


def _left_out(entry: Entry, blocks: Sequence[Block]) -> int:
    spans = [(block.start, block.end) for block in blocks]
    if not spans:
        return entry.tokens
    if spans == [(0, len(entry.document.text))]:
        return 0
    return sum(
        chunk.tokens
        for chunk in entry.chunks
        if not any(start <= chunk.start < end for start, end in spans)
    )
