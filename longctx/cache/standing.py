"""Where a text stands: what a session tells of its cache and window without touching them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longctx.cache.shared import SharedContext
from longctx.cache.window import Window
from longctx.rope import RopeConfig


class Standing:
    """The tokens of a text, its window, and how it came to be as it is.

    Nothing here decodes or waits, so any thread may ask while the model works.

    Args:
        window: the window that the text stands in.
        n_ctx_train: the window that the model was trained with.
    """

    def __init__(self, window: Window, n_ctx_train: int) -> None:
        self._window = window
        self._cells = window.cells
        self._n_ctx_train = n_ctx_train

    @property
    def tokens(self) -> tuple[int, ...]:
        """The token ids in the cache, in order; -1 of a cell in which each head has another."""
        return tuple(self._cells.tokens)

    @property
    def text_ids(self) -> list[int]:
        """The token ids of the whole text, with those that slid out or do not stand whole."""
        return self._window.text_ids

    @property
    def window(self) -> Window:
        """The window that the text stands in."""
        return self._window

    @property
    def rescale_s(self) -> float:
        """Seconds spent so far on growing, shrinking, compressing and sliding."""
        return self._window.rescale_s

    @property
    def prefilled_again(self) -> int:
        """Tokens prefilled a second time so far, where keys could not be kept or re-rotated."""
        return self._window.prefilled_again

    @property
    def fallback(self) -> str | None:
        """Why the window last changed by a second prefill; None if it never did."""
        return self._window.fallback

    @property
    def is_open(self) -> bool:
        """Whether it still has a cache."""
        return self._cells.is_open

    @property
    def is_stitched(self) -> bool:
        """Whether it holds attached text, which is not what a prefill would have made."""
        return self._window.n_exact is not None

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self._cells.tokens)

    @property
    def n_ctx(self) -> int:
        """The window in tokens."""
        return self._cells.n_ctx

    @property
    def rope(self) -> RopeConfig:
        """The positional encoding of the window."""
        return self._cells.rope

    @property
    def positions(self) -> NDArray[np.int32]:
        """int32[n_tokens]: where each token's key stands, from the first one's 0 on."""
        positions = self._cells.positions
        return positions - positions[:1]

    @property
    def dropped_tokens(self) -> int:
        """Tokens of the text that slid out of the window, behind the attention sinks."""
        return self._window.middle.n_slid

    @property
    def compressed_tokens(self) -> int:
        """Tokens of the text behind the attention sinks of which each head keeps a choice."""
        return self._window.middle.composite.n_text

    @property
    def kept_share(self) -> float:
        """What share of :attr:`compressed_tokens` each head keeps; 1 where there are none."""
        n = self.compressed_tokens
        return self._window.middle.composite.n_cells / n if n else 1.0

    @property
    def method(self) -> str:
        """What stretches the window just now: the method, or none."""
        return "self-extend" if self._window.groups else self.rope.method

    @property
    def scale(self) -> float:
        """s of the window just now; with Self-Extend, tokens over the trained window."""
        if self._window.groups:
            return max(1.0, self.n_ctx / self._n_ctx_train)
        return self.rope.scale

    @property
    def n_keep(self) -> int:
        """Attention sinks, in tokens: what a slide keeps at the front."""
        return self._window.middle.n_keep

    @property
    def room(self) -> int:
        """Tokens that may come before the window must grow, slide or compress."""
        return self._window.room

    @property
    def sequence(self) -> int:
        """Which sequence of :attr:`shared_context` it is."""
        return self._cells.sequence

    @property
    def shared_context(self) -> SharedContext:
        """The context that it stands in, with others or alone."""
        return self._cells.shared
