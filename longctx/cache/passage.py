"""A text prefilled alone, with its keys and values, that can stand anywhere in another."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from longctx.cache.compress import NO_TOKEN, Composite
from longctx.cache.rearranger import Rearranger
from longctx.cache.window import Window
from longctx.errors import BackendError, UnsupportedModelError
from longctx.prompt import CompressedSpan
from longctx.rope import RopeConfig


@dataclass(frozen=True)
class Passage:
    """Token ids, the exported state of their keys and values, and under what those were made.

    ``positions`` is int32[n_cells]; ``state`` is uint8, in llama.cpp's format of one sequence.
    Where the text was compressed, or shall count as if it was, to ``share`` of its cells,
    ``composite`` stands behind its first ``n_keep`` tokens: all of them, where none had to go.
    """

    ids: tuple[int, ...]
    rope: RopeConfig
    positions: NDArray[np.int32]
    state: NDArray[np.uint8]
    n_keep: int
    composite: Composite = field(default_factory=Composite)
    share: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether each token has a cell of its own, and nobody asked for fewer."""
        return self.share == 1

    @property
    def n_cells(self) -> int:
        """Cells that it takes."""
        return len(self.positions)


def passage_of(window: Window) -> Passage:
    """Copy the text of a window with its keys and values.

    Raises:
        BackendError: it has slid, or does not stand at positions of its own.
    """
    cells, middle = window.cells, window.middle
    if middle.n_slid or window.groups:
        raise BackendError(
            "only a session that holds its text at its own positions can be attached; this one has "
            f"dropped {middle.n_slid} tokens and let {len(window.groups)} blocks share positions"
        )
    ids = tuple(window.text_ids)
    return Passage(
        ids=ids,
        rope=cells.rope,
        positions=cells.positions.copy(),
        state=cells.export(),
        n_keep=middle.n_keep if middle else len(ids),
        composite=middle.composite,
        share=window.n_tokens / len(ids) if ids else 1.0,
    )


def attach(window: Window, rearranger: Rearranger, passage: Passage, n_recomputed: int) -> None:
    """Append a passage to the text of a window.

    Args:
        window: the text.
        rearranger: of its cells.
        passage: what is appended.
        n_recomputed: tokens at its front to prefill in place; of a compressed one, at most those
            that stand whole there.

    Raises:
        ContextOverflowError: both do not fit the largest window; nothing changed.
        UnsupportedModelError: it is compressed and cannot be moved, as a whole one could be
            prefilled; nothing changed.
    """
    ids = list(passage.ids)
    window.check_fits(window.n_tokens + passage.n_cells)
    if not passage.is_whole:
        _must_attach(rearranger.attaching_obstacle(passage.rope))
    skip = min(n_recomputed, passage.n_keep)
    begin = window.n_tokens + window.middle.n_missing
    window.feed(ids[:skip])
    if skip == len(ids):
        return
    window.grow_for(window.n_tokens + passage.n_cells - skip)
    n_before = window.n_tokens
    tokens = ids if passage.is_whole else [NO_TOKEN] * passage.n_cells
    # A copy, for rotating uses its bytes up, and a passage may be attached many times.
    state = passage.state.copy()
    reason = rearranger.attach(state, tokens, passage.rope, passage.positions, skip=skip)
    if reason is not None and not passage.is_whole:
        window.go_back(n_before - skip)
        _must_attach(reason)
    if reason is not None:
        window.prefilled_again += len(ids) - skip
        window.fallback = f"the text was prefilled, not attached: {reason}"
        window.feed(ids[skip:])
        return
    # Whatever comes behind looks at the passage, which never saw what stands before it.
    if window.n_exact is None:
        window.n_exact = n_before
    if not passage.is_whole:
        _count_as_composite(window, passage, n_before, skip, begin)
    window.group(window.placing.groups_of(window.n_tokens))


def _must_attach(reason: str | None) -> None:
    if reason is not None:
        raise UnsupportedModelError(
            f"a compressed text cannot be attached: {reason}. Prefill it, or attach it whole"
        )


def _count_as_composite(
    window: Window, passage: Passage, n_before: int, skip: int, begin: int
) -> None:
    """Let a window's composite cells reach to the end of a passage that was just attached.

    A text has one stretch of them: what stands whole between two passages is counted with it, so
    that whatever is done with composite cells holds for these.
    """
    middle, tokens = window.middle, window.cells.tokens
    if not middle:
        middle.n_keep = n_before
    held, first = middle.composite, middle.end
    between = tokens[first:n_before]
    n_new = len(tokens) - first
    tokens[first:] = [NO_TOKEN] * n_new
    # Shields stand at the same cells as before, behind those that are there and what is between.
    at = len(between) + passage.n_keep - skip
    inside = slice(at, at + passage.composite.n_cells)
    shields = []
    for old, new in zip_longest(held.shields, passage.composite.shields):
        added = np.zeros((n_new, (old if new is None else new).shape[1]), dtype=np.bool_)
        if new is not None:
            added[inside] = new
        before = np.zeros((held.n_cells, added.shape[1]), np.bool_) if old is None else old
        shields.append(np.concatenate([before, added]))
    composite = Composite(
        held.n_cells + n_new,
        held.n_text + len(between) + len(passage.ids) - skip,
        tuple(shields),
        (*held.spans, CompressedSpan(begin, begin + len(passage.ids), passage.share)),
    )
    middle.lose([*between, *passage.ids[skip:]], composite)
