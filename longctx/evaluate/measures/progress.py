"""Prefills of a measure, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longctx.progress import Meter

if TYPE_CHECKING:
    from longctx.cache import Session

_PIECE = 512


def feed_along(session: Session, ids: Sequence[int], meter: Meter) -> None:
    """Feed a text bit by bit, so that an elastic window passes through each of its steps.

    One call with the whole text would find the window for all of it before the first token.
    """
    for begin in range(0, len(ids), _PIECE):
        piece = ids[begin : begin + _PIECE]
        session.feed(piece, on_progress=meter.prompt(len(piece)))
