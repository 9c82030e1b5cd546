"""Where training sequences stand: as inference will show them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.errors import PlanError
from longctx.finetune.placement import place, skipped, unmoved
from longctx.rope import SelfExtendConfig

FAR = SelfExtendConfig(group=8, block=128, start=384)


@given(
    n_tokens=st.integers(1, 300),
    target_ctx=st.integers(1, 4096),
    n_chunks=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_skipped_places_stand_for_a_longer_text(
    n_tokens: int, target_ctx: int, n_chunks: int, seed: int
) -> None:
    """They begin where a text does, rise, stay below the window, and fall into the chunks."""
    places = skipped(n_tokens, target_ctx, n_chunks, np.random.default_rng(seed))
    steps = np.diff(places)
    assert places[0] == 0
    assert (steps >= 1).all()
    assert places[-1] < max(target_ctx, n_tokens)
    assert (steps > 1).sum() <= n_chunks - 1


def test_all_distances_of_the_window_occur() -> None:
    """Over many sequences the end of one looks back at every tenth of the window."""
    rng = np.random.default_rng(0)
    ends = [skipped(64, 1024, 4, rng) for _ in range(300)]
    distances = np.concatenate([places[-1] - places for places in ends])
    counts, _ = np.histogram(distances, bins=10, range=(0, 1024))
    assert (counts > 0).all()


@pytest.mark.parametrize("n_tokens", [1, 384, 385, 1000, 3000])
def test_a_token_sees_the_keys_where_inference_has_them_by_then(n_tokens: int) -> None:
    """For each token of a text: its own position and all before it, by the map itself."""
    placement = place(unmoved(n_tokens), FAR)
    for view in placement.views:
        for query in {view.begin, view.end - 1}:
            stage = FAR.stage(query + 1)
            expected = FAR.positions(query + 1, stage.groups)
            np.testing.assert_array_equal(view.keys[: query + 1], expected)
            assert placement.own[query] == expected[-1]
    assert [view.begin for view in placement.views[1:]] == [v.end for v in placement.views[:-1]]
    assert placement.views[-1].end == n_tokens


def test_skipped_places_are_those_tokens_of_the_long_text() -> None:
    """A sequence that skips sees its keys where they stand in the text that it acts for."""
    places = skipped(200, 3000, 4, np.random.default_rng(3))
    sparse, whole = place(places, FAR), place(unmoved(3000), FAR)
    np.testing.assert_array_equal(sparse.own, whole.own[places])
    last = FAR.stage(int(places[-1]) + 1)
    expected = FAR.positions(int(places[-1]) + 1, last.groups)[places]
    np.testing.assert_array_equal(sparse.views[-1].keys, expected)


def test_without_a_map_a_place_is_a_position() -> None:
    """As under YaRN: one view, no key moves."""
    places = skipped(100, 1000, 3, np.random.default_rng(1))
    placement = place(places, None)
    assert len(placement.views) == 1
    np.testing.assert_array_equal(placement.own, places)


def test_a_map_that_does_not_reach_is_refused() -> None:
    """Before anything is trained at positions that there are not."""
    with pytest.raises(PlanError, match="do not fit"):
        place(np.array([0, FAR.max_tokens]), FAR)
