"""A cached text thinned: each layer and KV head keeps the tokens that matter most to it.

::

    keys of a head, un-rotated → scores (one function a method) → selection (protected tokens,
    then the best) → codec (the rows of each head, side by side in composite cells)

Attention is a sum over tokens whose order only the rotation of their keys tells, and each head
has its own. So one cell may hold token 7 for one head and token 9 for another, and llama.cpp,
which computes head by head, never sees a difference (docs/compression.md).
"""

from longctx.cache.compress.codec import WORKING_BYTES, Choose, n_workers, thin_state
from longctx.cache.compress.composite import (
    METHOD,
    NO_TOKEN,
    RECENT_SHARE,
    RECENT_TOKENS,
    THINNED_SHARE,
    VERSION,
    Choice,
    Composite,
)
from longctx.cache.compress.scores import SCORES, Score, pooled
from longctx.cache.compress.selection import select

COMPRESSION_METHODS = tuple(SCORES)
"""What is used, and the baselines that it is measured against."""

__all__ = [
    "COMPRESSION_METHODS",
    "METHOD",
    "NO_TOKEN",
    "RECENT_SHARE",
    "RECENT_TOKENS",
    "SCORES",
    "THINNED_SHARE",
    "VERSION",
    "WORKING_BYTES",
    "Choice",
    "Choose",
    "Composite",
    "Score",
    "n_workers",
    "pooled",
    "select",
    "thin_state",
]
