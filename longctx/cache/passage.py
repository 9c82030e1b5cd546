"""A text prefilled alone, with its keys and values, that can stand anywhere in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longctx.cache.rearranger import Rearranger
from longctx.cache.window import Window
from longctx.errors import BackendError
from longctx.rope import RopeConfig


@dataclass(frozen=True)
class Passage:
    """Token ids, the exported state of their keys and values, and under what those were made.

    ``positions`` is int32[n]; ``state`` is uint8, in llama.cpp's format of one sequence.
    """

    ids: tuple[int, ...]
    rope: RopeConfig
    positions: NDArray[np.int32]
    state: NDArray[np.uint8]


def passage_of(window: Window) -> Passage:
    """Copy the text of a window with its keys and values.

    Raises:
        BackendError: it has slid, or does not stand whole at positions of its own.
    """
    cells = window.cells
    if window.middle or window.groups:
        raise BackendError(
            "only a session that holds its whole text at its own positions can be attached; "
            f"this one has dropped or compressed {len(window.middle.dropped)} tokens and let "
            f"{len(window.groups)} blocks share positions"
        )
    return Passage(
        ids=tuple(cells.tokens),
        rope=cells.rope,
        positions=cells.positions.copy(),
        state=cells.export(),
    )


def attach(window: Window, rearranger: Rearranger, passage: Passage, n_recomputed: int) -> None:
    """Append a passage to the text of a window.

    Args:
        window: the text.
        rearranger: of its cells.
        passage: what is appended.
        n_recomputed: tokens at its front to prefill in place.

    Raises:
        ContextOverflowError: both do not fit the largest window; nothing changed.
    """
    ids = list(passage.ids)
    window.check_fits(window.n_tokens + len(ids))
    skip = min(n_recomputed, len(ids))
    window.feed(ids[:skip])
    if skip == len(ids):
        return
    window.grow_for(window.n_tokens + len(ids) - skip)
    n_before = window.n_tokens
    # A copy, for rotating uses its bytes up, and a passage may be attached many times.
    state = passage.state.copy()
    reason = rearranger.attach(state, ids, passage.rope, passage.positions, skip=skip)
    if reason is not None:
        window.prefilled_again += len(ids) - skip
        window.fallback = f"the text was prefilled, not attached: {reason}"
        window.feed(ids[skip:])
        return
    # Whatever comes behind looks at the passage, which never saw what stands before it.
    if window.n_exact is None:
        window.n_exact = n_before
    window.group(window.placing.groups_of(window.n_tokens))
