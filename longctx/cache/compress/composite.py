"""What is known of a text whose middle stands in composite cells, and how it gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from longctx.cache.compress.scores import SCORES
from longctx.cache.compress.selection import select
from longctx.prompt import CompressedSpan

METHOD = "keydiff"
VERSION = 1
"""Of scores and selection: what another one has chosen is no snapshot of this one's."""
NO_TOKEN = -1
"""In the place of a token id: the cell holds another token for each head."""
RECENT_TOKENS = 256
"""Latest tokens that are kept whole, at most, of a text compressed by hand."""
RECENT_SHARE = 4
"""Of the cells that are left, one in so many is among the latest, which stay whole."""
THINNED_SHARE = 4
"""A full window that compresses gives up one cell in so many of the others at a time."""

Shields = tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, eq=False)
class Composite:
    """Cells behind the attention sinks in which each layer and head has tokens of its own.

    Attributes:
        n_cells: how many.
        n_text: tokens of the text that they were chosen from, the last of those that do not stand
            whole; what is before them slid out.
        shields: bool[n_cells, n_head_kv] of each layer, the tokens that every later compression
            keeps, too; empty where there are none.
        spans: passages that were compressed alone and attached, by their places in the text; what
            stands between them is counted with these cells, though it is whole.
    """

    n_cells: int = 0
    n_text: int = 0
    shields: Shields = ()
    spans: tuple[CompressedSpan, ...] = ()

    def without_first(self, n: int) -> Composite:
        """Those that are left behind the first ``n``: chosen from the same text."""
        if n >= self.n_cells:
            return Composite(spans=self.spans)
        return replace(
            self, n_cells=self.n_cells - n, shields=tuple(each[n:] for each in self.shields)
        )

    def pack(self) -> NDArray[np.uint8]:
        """The shields as bits: uint8[k]."""
        if not self.shields:
            return np.empty(0, np.uint8)
        return np.packbits(np.concatenate([each.reshape(-1) for each in self.shields]))

    @classmethod
    def unpack(
        cls,
        n_cells: int,
        n_text: int,
        packed: NDArray[np.uint8],
        heads: Sequence[int],
        spans: tuple[CompressedSpan, ...] = (),
    ) -> Composite:
        """Read what :meth:`pack` wrote, of layers with so many heads."""
        if not packed.size:
            return cls(n_cells, n_text, spans=spans)
        bits = np.unpackbits(packed, count=n_cells * sum(heads)).astype(np.bool_)
        ends = np.cumsum([n_cells * n for n in heads])[:-1]
        parts = zip(np.split(bits, ends), heads, strict=True)
        return cls(n_cells, n_text, tuple(part.reshape(n_cells, n) for part, n in parts), spans)


class Choice:
    """Chooses what each head of each layer keeps of a text, and remembers what was shielded.

    Args:
        whole: bool[n], the tokens that every head keeps.
        n_kept: cells that are left, or as many as are kept whatever they score.
        composite: what stands in composite cells already.
        first: the first of those cells.
        shielded: bool[n], of the whole tokens those that later compressions keep, too.
        method: a name of :data:`SCORES`.
    """

    def __init__(
        self,
        whole: NDArray[np.bool_],
        n_kept: int,
        composite: Composite,
        *,
        first: int,
        shielded: NDArray[np.bool_],
        method: str = METHOD,
    ) -> None:
        self._score = SCORES[method]
        self._whole = whole | shielded
        self._composite = composite
        held = [int(each.sum(axis=0).max(initial=0)) for each in composite.shields]
        self.n_kept = max(n_kept, int(self._whole.sum()) + max(held, default=0))
        self._first = first
        self._shielded = shielded
        self._has_shields = bool(composite.shields) or bool(shielded.any())
        self._shields: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def __call__(self, layer: int, heads: slice, keys: NDArray[np.float32]) -> NDArray[np.intp]:
        """What some heads of a layer keep: int[n_kept, n_heads]."""
        scores = self._score(keys)
        if not self._has_shields:
            return select(scores, self._whole, self.n_kept)
        shields = np.repeat(self._shielded[:, None], scores.shape[1], axis=1)
        if self._composite.shields:
            held = slice(self._first, self._first + self._composite.n_cells)
            shields[held] |= self._composite.shields[layer][:, heads]
        chosen = select(scores, self._whole[:, None] | shields, self.n_kept)
        kept = np.take_along_axis(shields, chosen, axis=0)
        for i, head in enumerate(range(heads.start, heads.stop)):
            self._shields[layer, head] = kept[:, i]
        return chosen

    def composite(self, n_cells: int, n_more: int) -> Composite:
        """What stands there now, in ``n_cells`` cells from the same first one on.

        It was chosen from ``n_more`` tokens of the text besides those of before.
        """
        held, n_text = slice(self._first, self._first + n_cells), self._composite.n_text + n_more
        layers: dict[int, list[NDArray[np.bool_]]] = {}
        for layer, head in sorted(self._shields):
            layers.setdefault(layer, []).append(self._shields[layer, head][held])
        shields = tuple(np.stack(each, axis=1) for each in layers.values())
        return Composite(n_cells, n_text, shields, self._composite.spans)
