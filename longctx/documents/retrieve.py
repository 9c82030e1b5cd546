"""``retrieve``: the passages that answer the question, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.documents.asking import Asking
from longctx.documents.chunks import Chunk
from longctx.documents.holdings import Holdings
from longctx.documents.layout import Block, window
from longctx.documents.packing import best_at_edges, largest_fitting
from longctx.prompt import Prompt

_MARKERS_TOKENS = 32
"""Roughly what the two markers of a passage take."""


def retrieve(
    asking: Asking, holdings: Holdings, ranked: Sequence[Chunk], *, edges: bool
) -> tuple[Prompt, list[Block]]:
    """Fill a window with the best chunks, and join neighbours.

    Args:
        asking: the question.
        holdings: joins.
        ranked: the chunks, the best first.
        edges: the best passages first and last, instead of the order of the documents.

    Returns:
        The prompt, and what of the documents stands in it.

    Raises:
        ContextOverflowError: not even one chunk fits.
    """

    def blocks(n: int) -> list[Block]:
        passages = holdings.passages(ranked[:n])
        return best_at_edges(passages, ranked) if edges else passages

    prompts: dict[int, Prompt] = {}
    frame = asking.frame()

    def estimate(n: int) -> int:
        markers = _MARKERS_TOKENS * len(holdings.passages(ranked[:n]))
        return frame + markers + sum(chunk.tokens for chunk in ranked[:n])

    def exact(n: int) -> int:
        prompts[n] = asking.prompt(window(blocks(n), asking.question))
        return prompts[n].n_tokens

    n = largest_fitting(len(ranked), asking.room, estimate, exact)
    if not n:
        needed = prompts[1].n_tokens + asking.reserved_tokens
        raise asking.overflow(
            "the question and its best passage do not fit",
            needed,
            f"Raise budget_tokens or target_ctx to at least {needed}, or lower max_tokens.",
        )
    return prompts[n], blocks(n)
