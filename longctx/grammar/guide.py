"""What steers an answer token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from longctx.grammar.tokens import TokenTable


class Guide(Protocol):
    """Steers one answer; it lives in the model's thread.

    A :class:`~longctx.grammar.GrammarMatcher` is one. Whatever a method raises ends that answer,
    and is raised where it is read.
    """

    def mask(self) -> NDArray[np.uint32] | None:
        """uint32[(n_vocab + 31) // 32], bits of the tokens that may come next; None where any may.

        Asked once before each token, drafted ones included. It may be overwritten by the next.
        """

    def accept(self, token: int) -> None:
        """A token was drawn, and stays; it is none of those that end an answer."""

    @property
    def has_ended(self) -> bool:
        """Whether the answer ends here, without another token."""


Starts: TypeAlias = Callable[[TokenTable], Guide]
"""Makes the guide of one answer, in the model's thread; ``Grammar.start`` is one."""
