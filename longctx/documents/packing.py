"""Which chunks stand in a window, how they are joined, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from longctx.documents.chunks import Chunk
from longctx.documents.layout import Block, passage_block

T = TypeVar("T")


def largest_fitting(sizes: Sequence[int], room: int, fits: Callable[[int], bool]) -> int:
    """How many items, from the first on, fit.

    Args:
        sizes: of each item in tokens, roughly: they say where to begin to try.
        room: for all of them, in tokens, roughly.
        fits: whether the first n do, counted exactly.

    Returns:
        n for which ``fits(n)`` is true, and false for n + 1; 0 if not even the first fits.
    """
    n = bisect_right(list(accumulate(sizes)), room)
    while n and not fits(n):
        n -= 1
    while n < len(sizes) and fits(n + 1):
        n += 1
    return n


def joined(chunks: Iterable[Chunk], marks: Mapping[str, str]) -> list[Block]:
    """Turn chunks into passages in the order of documents and text, neighbours as one.

    Args:
        chunks: in any order, each once.
        marks: of the documents by ``doc_id``, in the order of the window.
    """
    order = {doc_id: i for i, doc_id in enumerate(marks)}
    runs: list[list[Chunk]] = []
    for chunk in sorted(chunks, key=lambda c: (order[c.document.doc_id], c.number)):
        before = runs[-1][-1] if runs else None
        if before and before.document is chunk.document and before.end == chunk.start:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return [
        passage_block(
            run[0].document,
            f"{marks[run[0].document.doc_id]}.{run[0].number}",
            run[0].start,
            run[-1].end,
        )
        for run in runs
    ]


def best_at_edges(blocks: Sequence[Block], ranked: Sequence[Chunk]) -> list[Block]:
    """Order blocks so that the best stand first and last, the worst in the middle.

    Models find best what stands at the edges of their window ("Lost in the Middle", Liu et al.
    2024). The order depends on the question, so the next one finds little of it in the cache.

    Args:
        blocks: in any order.
        ranked: chunks, the best first; a block is as good as the best of its chunks.
    """

    def rank(block: Block) -> int:
        return next(
            i
            for i, chunk in enumerate(ranked)
            if chunk.document is block.document and block.start <= chunk.start < block.end
        )

    best_first = sorted(blocks, key=rank)
    return best_first[::2] + best_first[1::2][::-1]
