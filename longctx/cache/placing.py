"""Where the keys of a text stand: one behind the other, or as Self-Extend groups them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longctx.rope import Groups, SelfExtendConfig


class Placing:
    """Positions by the length of a text alone, however it came to be so long.

    Args:
        far: how the oldest blocks are grouped; None groups none.
    """

    def __init__(self, far: SelfExtendConfig | None) -> None:
        self._far = far

    def groups_of(self, n_tokens: int) -> Groups:
        """The groups of Self-Extend for so many tokens; none without it."""
        return self._far.stage(n_tokens).groups if self._far is not None else ()

    def lasts(self, n_tokens: int) -> int | None:
        """How long a text of ``n_tokens`` may get under the same groups; None is without end."""
        return self._far.stage(n_tokens).n_tokens if self._far is not None else None

    def positions(self, n_tokens: int, groups: Groups) -> NDArray[np.int32]:
        """Where keys stand under these groups, the last one's at its index: int32[n_tokens].

        RoPE knows distances only. So it is the old text that moves up to the new, and new keys and
        queries stand where llama.cpp puts them, in layers that know nothing of groups as well.
        """
        if self._far is None:
            return np.arange(n_tokens, dtype=np.int32)
        moved_up = n_tokens - self._far.end(n_tokens, groups)
        return self._far.positions(n_tokens, groups) + np.int32(moved_up)
