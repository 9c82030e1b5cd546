"""Where the tokens of a training sequence stand: a short sequence that acts for a long text.

PoSE (Zhu et al. 2024) trains a window that no sequence fills: the sequence is cut into chunks, and
positions are skipped between them, so that over many sequences every distance of the long text
occurs. Under Self-Extend the text's *places* are skipped instead, and positions follow from them by
the map that inference runs (:class:`longctx.rope.SelfExtendConfig`): a token meets the keys before
it where they stand when a text is as long as up to this token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from longctx.rope import SelfExtendConfig

Places = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """Queries ``begin`` to ``end`` of a sequence, and where they see the keys up to ``end``.

    ``keys`` is int64[end], each key's position; a query stands where its own key does.
    """

    begin: int
    end: int
    keys: NDArray[np.int64]


@dataclass(frozen=True)
class Placement:
    """``own`` is int64[n], where each token stands when it is computed; ``views`` cover all."""

    own: NDArray[np.int64]
    views: tuple[View, ...]


def unmoved(n_tokens: int) -> Places:
    """The places of a text as it is: int64[n_tokens]."""
    return np.arange(n_tokens, dtype=np.int64)


def skipped(n_tokens: int, target_ctx: int, n_chunks: int, rng: Generator) -> Places:
    """The places of chunks of a longer text: int64[n_tokens], rising, below ``target_ctx``.

    Args:
        n_tokens: of the sequence.
        target_ctx: of the longest text that it may stand for; its own length is drawn, so that
            each length up to it is trained.
        n_chunks: at most so many, cut at random.
        rng: draws cuts, length and skips.
    """
    spare = max(0, target_ctx - n_tokens)
    n_cuts = min(n_chunks, n_tokens) - 1
    if not spare or n_cuts < 1:
        return unmoved(n_tokens)
    total = int(rng.integers(0, spare + 1))
    cuts = np.sort(rng.choice(np.arange(1, n_tokens), size=n_cuts, replace=False))
    skips = np.sort(rng.integers(0, total + 1, size=n_cuts))
    skips[-1] = total  # the last chunk ends where the text does
    moved: Places = np.repeat([0, *skips], np.diff([0, *cuts, n_tokens])) + unmoved(n_tokens)
    return moved


def place(places: Places, far: SelfExtendConfig | None) -> Placement:
    """Where tokens stand that are at these places of a text.

    Args:
        places: rising, int64[n].
        far: Self-Extend's map; None where a position is a place.

    Raises:
        PlanError: the map does not reach the last place.
    """
    if far is None:
        return Placement(places, (View(0, len(places), places),))
    views = tuple(_views(places, far))
    own = np.concatenate([view.keys[view.begin :] for view in views])
    return Placement(own, views)


def _views(places: Places, far: SelfExtendConfig) -> Iterator[View]:
    """One view a stage of the map: while a text grows within it, no key moves."""
    begin = 0
    while begin < len(places):
        stage = far.stage(int(places[begin]) + 1)
        end = int(np.searchsorted(places, stage.n_tokens))
        positions = far.positions(stage.n_tokens, stage.groups)
        yield View(begin, end, positions[places[:end]].astype(np.int64))
        begin = end
