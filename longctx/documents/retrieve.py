"""``retrieve``: the passages that answer the question, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.documents.asking import Asking
from longctx.documents.layout import Block, window
from longctx.documents.library import Entry, Library
from longctx.documents.packing import best_at_edges, largest_fitting
from longctx.prompt import Prompt

_MARKERS_TOKENS = 32
"""Roughly what the two markers of a passage take."""


def retrieve(
    asking: Asking, library: Library, entries: Sequence[Entry], *, edges: bool
) -> tuple[str, list[Block]]:
    """Fill the window with the best chunks, join neighbours, and answer.

    Args:
        asking: the question.
        library: ranks and joins.
        entries: the documents to search.
        edges: the best passages first and last, instead of the order of the documents.

    Returns:
        The answer, and what was in the window.

    Raises:
        ContextOverflowError: not even one chunk fits.
    """
    ranked = library.ranked(entries, asking.question)

    def blocks(n: int) -> list[Block]:
        passages = library.passages(ranked[:n])
        return best_at_edges(passages, ranked) if edges else passages

    prompts: dict[int, Prompt] = {}
    frame = asking.frame()

    def estimate(n: int) -> int:
        markers = _MARKERS_TOKENS * len(library.passages(ranked[:n]))
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
    chosen = blocks(n)
    return asking.chat(prompts[n], chosen), chosen
