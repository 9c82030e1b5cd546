"""A text that is compressed because its user says so: what was asked, checked."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from longctx.arguments import one_of, real, whole
from longctx.backends import Backend
from longctx.cache.compress import RECENT_SHARE, RECENT_TOKENS, SCORES
from longctx.cache.compressing import compress_text
from longctx.cache.rearranger import Rearranger
from longctx.cache.window import Window
from longctx.errors import RequestError, UnsupportedModelError
from longctx.planner import DEFAULT_SINKS, compression_obstacle


def compress_by_hand(
    window: Window,
    rearranger: Rearranger,
    backend: Backend,
    keep: float,
    protect: Sequence[tuple[int, int]],
    method: str,
) -> None:
    """Keep a share of the cells of a window.

    Raises:
        UnsupportedModelError: the model keeps something else than keys that can be moved.
        RequestError: an argument makes no sense.
    """
    keep = real("keep", keep, above=0, most=1)
    one_of("method", method, SCORES)
    reason = compression_obstacle(backend.info, backend.plan.kv_type_k)
    if reason is not None:
        raise UnsupportedModelError(
            f"the cache of {backend.info.name} cannot be compressed: {reason}. Take a quantised "
            "kv_type, or let the window slide"
        )
    shielded = _shielded(window, protect)
    if not window.middle:  # else what stands behind the sinks is not what follows in the text
        window.middle.n_keep = max(window.middle.n_keep, DEFAULT_SINKS)
    n_kept = ceil(keep * window.n_tokens)
    n_recent = min(RECENT_TOKENS, n_kept // RECENT_SHARE)
    compress_text(
        window, rearranger, n_kept, n_recent=n_recent, shielded=shielded, method=method
    )  # fmt: skip


def _shielded(window: Window, protect: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """bool[n_tokens], the cells of some spans of the text."""
    n_missing = window.middle.n_missing
    n_text = window.n_tokens + n_missing
    shielded = np.zeros(window.n_tokens, dtype=np.bool_)
    sinks, n_gone = window.middle.n_keep, len(window.middle.dropped)
    if isinstance(protect, str) or not isinstance(protect, Sequence):
        raise RequestError(f"protect is {protect!r:.80}; pass spans of tokens, such as [(20, 80)]")
    for span in protect:
        if not (isinstance(span, Sequence) and len(span) == 2):
            raise RequestError(f"{span!r:.80} is no span of tokens; use (begin, end)")
        begin, end = (whole("an end of a span", each, least=0) for each in span)
        if not begin < end <= n_text:
            raise RequestError(
                f"the span ({begin}, {end}) is not within the {n_text} tokens of the text"
            )
        if n_gone and begin < sinks + n_gone and end > sinks:
            raise RequestError(
                f"of the span ({begin}, {end}) tokens {sinks} to {sinks + n_gone} are compressed "
                "already, or slid out; protect it before"
            )
        gap = n_missing if n_gone and begin >= sinks + n_gone else 0
        shielded[begin - gap : end - gap] = True
    return shielded
