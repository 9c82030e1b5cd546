"""The text of a window compressed: what stays whole, what goes, and what is then remembered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longctx.cache.compress import METHOD, NO_TOKEN, Choice
from longctx.cache.rearranger import Rearranger
from longctx.errors import UnsupportedModelError

if TYPE_CHECKING:
    from longctx.cache.window import Window


def compress_text(
    window: Window,
    rearranger: Rearranger,
    n_kept: int,
    *,
    n_recent: int,
    shielded: NDArray[np.bool_] | None = None,
    method: str = METHOD,
) -> None:
    """Keep ``n_kept`` cells of a window: each layer and head the tokens that matter most to it.

    Args:
        window: the text.
        rearranger: of its cells.
        n_kept: cells that are left, or as many as are kept whole.
        n_recent: latest tokens that are kept whole, as the attention sinks are.
        shielded: bool[n_tokens], tokens that every head keeps, now and later.
        method: a name of :data:`longctx.cache.compress.SCORES`.

    Raises:
        UnsupportedModelError: the keys of this model cannot be moved; nothing was done.
    """
    started, n, cells = time.monotonic(), window.n_tokens, window.cells
    begin, composite = min(window.middle.n_keep, n), window.middle.composite
    end = max(begin + composite.n_cells, n - max(1, n_recent))
    whole = np.ones(n, dtype=np.bool_)
    whole[begin:end] = False
    shielded = np.zeros(n, dtype=np.bool_) if shielded is None else shielded & ~whole
    choice = Choice(whole, n_kept, composite, first=begin, shielded=shielded, method=method)
    if choice.n_kept >= n:
        return
    n_cells = choice.n_kept - begin - (n - end)
    gone = cells.tokens[begin + composite.n_cells : end]
    tokens = [*cells.tokens[:begin], *[NO_TOKEN] * n_cells, *cells.tokens[end:]]
    groups = window.placing.groups_of(choice.n_kept)
    positions = window.placing.positions(choice.n_kept, groups)
    reason = rearranger.compress(choice, tokens, positions)
    if reason is not None:
        raise UnsupportedModelError(
            f"the cached text cannot be compressed: {reason}. Let the window slide, or use a "
            "quantised kv_type"
        )
    window.groups = groups
    window.middle.lose(gone, choice.composite(n_cells, len(gone)))
    if window.n_exact is not None:  # attached text begins in the composite cells, or behind them
        window.n_exact = min(window.n_exact, begin)
    window.rescale_s += time.monotonic() - started
