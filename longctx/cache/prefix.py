"""How much of a prompt a cached text begins with."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import zip_longest

from longctx.cache.cells import Ids
from longctx.cache.window import Window
from longctx.prompt import CompressedSpan

_BLOCK = 256


def common_prefix(held: Ids | array[int], wanted: Ids) -> int:
    """Length of the longest common prefix.

    Block by block, since most texts differ early, and lists compare themselves faster than they
    become arrays.
    """
    n = min(len(held), len(wanted))
    for begin in range(0, n, _BLOCK):
        one, other = list(held[begin : begin + _BLOCK]), list(wanted[begin : begin + _BLOCK])
        if one[: n - begin] != other[: n - begin]:
            pairs = zip(one, other, strict=False)
            return begin + next((i for i, (a, b) in enumerate(pairs) if a != b), n - begin)
    return n


def shared_prefix(
    window: Window,
    ids: Ids,
    compressed: Sequence[CompressedSpan] | None = None,
    *,
    whole: bool = False,
) -> int:
    """Length of the prefix of ``ids`` that need not be prefilled.

    With ``compressed``, passages must stand compressed here as they are asked for: else the prefix
    ends where the first begins that does not.

    Of a window that has slid or is compressed, the text is the attention sinks, what slid out or
    stands in composite cells, and the rest. That middle counts as long as it is the same to its
    last token: the rest was computed behind all of it, so that of a text which differs inside only
    the sinks can be used. With ``whole`` what slid out does not count where ``ids`` fit the window:
    nothing of them need be missing, so nothing may.
    """
    tokens, middle = window.cells.tokens, window.middle
    fits = len(ids) < window.largest
    if compressed is not None:
        ids = ids[: _asked_alike(middle.composite.spans, compressed, len(ids))]
    if not middle:
        return common_prefix(tokens, ids)
    sinks, n_dropped = middle.n_keep, len(middle.dropped)
    shared = common_prefix(tokens[:sinks], ids[:sinks])
    if whole and fits and middle.n_slid:
        return shared
    if shared == sinks:
        shared += common_prefix(middle.dropped, ids[sinks : sinks + n_dropped])
    if shared < sinks + n_dropped:
        return min(shared, sinks)
    return shared + common_prefix(tokens[middle.end :], ids[shared:])


def _asked_alike(
    held: Sequence[CompressedSpan], wanted: Sequence[CompressedSpan], n_ids: int
) -> int:
    """Where the first passage begins that is compressed in one of two texts, and not in both."""
    for one, other in zip_longest(held, wanted):
        if one != other:
            return min(span.begin for span in (one, other) if span is not None)
    return n_ids
