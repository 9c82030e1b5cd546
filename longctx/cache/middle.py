"""What of a text does not stand whole in its cache: the middle, behind the attention sinks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from longctx.cache.compress import NO_TOKEN, Composite


class Middle:
    """What slid out of a window, or is left in composite cells alone.

    A text is the sinks, the tokens here, and what stands whole behind them. Their ids are kept, for
    a prompt that begins with the same text must be recognised though its cells are gone.

    Args:
        n_keep: attention sinks, the tokens that are kept at the front.

    Attributes:
        n_keep: as above; pinned text raises it.
        dropped: ids of the tokens that do not stand whole, in their order.
        composite: the cells that stand for the last of them.
    """

    def __init__(self, n_keep: int) -> None:
        self._unpinned = n_keep
        self.n_keep = n_keep
        self.dropped = array("i")
        self.composite = Composite()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.dropped)

    @property
    def end(self) -> int:
        """The first cell behind it, of a text that reaches so far."""
        return self.n_keep + self.composite.n_cells

    @property
    def n_missing(self) -> int:
        """Cells fewer than the text has tokens."""
        return len(self.dropped) - self.composite.n_cells

    @property
    def n_slid(self) -> int:
        """Tokens of which nothing is left."""
        return len(self.dropped) - self.composite.n_text

    def lose(self, gone: Iterable[int], composite: Composite) -> None:
        """Note that more tokens no longer stand whole, and what now stands for the middle."""
        self.dropped.extend(gone)
        self.composite = composite

    def put(self, dropped: Iterable[int], composite: Composite) -> None:
        """Be another text's."""
        self.dropped, self.composite = array("i", dropped), composite

    def clear(self) -> None:
        """Be that of a text that stands whole."""
        if self.composite.spans:  # what stood before the first of them was kept as sinks are
            self.n_keep = self._unpinned
        self.put((), Composite())

    def whole_text(self, tokens: list[int]) -> list[int]:
        """The token ids of the whole text, of which these are in the cells."""
        if not self:
            return list(tokens)
        return [*tokens[: self.n_keep], *self.dropped, *tokens[self.end :]]

    def text_of(self, tokens: list[int]) -> list[int]:
        """What some of the cells, with these tokens, stand for.

        Composite ones stand for their text only all together: of a part of them nobody can say
        which tokens it has. What slid out stands in no cell, and is in no part of them.
        """
        n_cells = self.composite.n_cells
        if not n_cells:
            return tokens
        if tokens[self.n_keep : self.end] == [NO_TOKEN] * n_cells:
            return self.whole_text(tokens)
        return [token for token in tokens if token != NO_TOKEN]
