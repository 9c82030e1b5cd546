"""Which chunks stand in a window, how they are joined, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

from longctx.documents.chunks import Chunk
from longctx.documents.layout import Block, passage_block


def largest_fitting(
    n_items: int, room: int, estimate: Callable[[int], int], exact: Callable[[int], int]
) -> int:
    """How many items, from the first on, fit; what is long is counted as seldom as can be.

    Args:
        n_items: how many there are.
        room: tokens that the prompt may have.
        estimate: its tokens with the first n, roughly and at no cost; they grow with n.
        exact: the same, counted. Its share of the estimate sets the estimates of others right.

    Returns:
        n for which ``exact(n)`` fits. With one more it does not fit, or would not by the estimate
        set right by ``exact(n)``. 0 if not even the first fits.
    """
    fits, too_many, share = 0, n_items + 1, 1.0
    while too_many - fits > 1:
        between = range(fits + 1, too_many)
        n = fits + bisect_right(between, room, key=lambda n: ceil(share * estimate(n)))
        if n == fits:
            if fits:
                break
            n = 1  # an estimate refuses nothing
        tokens = exact(n)
        share = tokens / max(1, estimate(n))
        if tokens <= room:
            fits = n
        else:
            too_many = n
    return fits


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
