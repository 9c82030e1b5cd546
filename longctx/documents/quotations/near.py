"""Where nearly the words of a quotation stand: how many of them differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from longctx.documents.quotations.alignment import Quotation, Searched
from longctx.documents.quotations.spelling import OPTIONAL_HYPHEN
from longctx.documents.quotations.words import Words

_Row: TypeAlias = NDArray[np.int64]

_LEAST_WORDS = 4
"""Fewer, and one that differs leaves little of a quotation."""
_ONE_OF = 5
"""One word of so many, or of what is left of them, may differ."""


@dataclass(frozen=True)
class Near:
    """A place that differs from a quotation in a few words; in 0 where only capitals or symbols
    do."""

    start: int
    end: int
    differs_in: int


def nearest(quotation: Quotation, text: Searched, start: int, end: int) -> Near | None:
    """The place in a span that differs in the fewest words; None where more do than one in five.

    Args:
        quotation: what is looked for.
        text: where.
        start: of the span.
        end: of the span.
    """
    n = len(_numbered(quotation.words))
    most = -(-n // _ONE_OF) if n >= _LEAST_WORDS else 0
    parts = text.likely(quotation, start, end, without=most)
    found = [near for part in parts if (near := _aligned(quotation.words, part))]
    best = min(found, key=lambda near: near.differs_in, default=None)
    return best if best and best.differs_in <= most else None


def _aligned(quoted: Words, source: Words) -> Near | None:
    """Align words as wholes (Sellers 1980): one that is changed, left out or added counts once.

    A row of the table is a few operations of numpy.
    """
    wanted, kept = _numbered(quoted), _numbered(source)
    if not wanted or not kept:
        return None
    ids: dict[str, int] = {}
    text = np.array([ids.setdefault(word, len(ids)) for _, word in kept])
    columns = np.arange(len(kept) + 1)
    cost, begin = np.zeros_like(columns), columns
    for _, word in wanted:
        cost, begin = _next_row(cost, begin, text != ids.get(word, -1), columns)
    differs_in = int(cost.min())
    # Of several, the first that is as long as the quotation.
    ends = np.flatnonzero(cost == differs_in)
    last = int(min(ends, key=lambda end: abs(int(end) - int(begin[end]) - len(wanted))))
    if begin[last] == last:
        return None
    first = kept[int(begin[last])][0]
    return Near(source.starts[first], source.ends[kept[last - 1][0]], differs_in)


def _numbered(words: Words) -> list[tuple[int, str]]:
    """The words without symbols and capitals, with their places."""
    return [
        (i, word.replace(OPTIONAL_HYPHEN, "").lower())
        for i, word in enumerate(words.spelled)
        if any(map(str.isalnum, word))
    ]


def _next_row(
    cost: _Row, begin: _Row, differs: NDArray[np.bool_], columns: _Row
) -> tuple[_Row, _Row]:
    """One more word of the quotation: left out, or taken for one of the text; then words of the
    text that the quotation has not."""
    left_out = cost + 1
    taken = np.concatenate([[len(columns) * 2], cost[:-1] + differs])
    row = np.minimum(left_out, taken)
    begin = np.where(taken <= left_out, np.concatenate([[0], begin[:-1]]), begin)
    # Adding words from a column on costs one each: the cheapest column so far, in one pass.
    slack = row - columns
    cheapest = np.minimum.accumulate(slack)
    source = np.maximum.accumulate(np.where(slack == cheapest, columns, 0))
    return cheapest + columns, begin[source]
