"""Scores and selection: what they must not depend on, and against the plainest of programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.cache.compress import SCORES, pooled, select

KEYS = np.random.default_rng(5).standard_normal((60, 2, 32)).astype(np.float32)
KEYS[20] = -3  # a key like no other


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_a_finite_number_for_each_token_and_head(name: str) -> None:
    """Also of equal keys, of zeros, and of a single one."""
    for keys in (KEYS, np.ones_like(KEYS), np.zeros_like(KEYS), KEYS[:1], KEYS[:0]):
        scores = SCORES[name](keys)
        assert scores.shape == keys.shape[:2]
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()


def test_distinct_keys_score_highest_with_their_neighbours() -> None:
    """Whatever their length and however all of them are turned: only directions count."""
    keys = np.tile(np.linspace(1, 2, 32, dtype=np.float32), (60, 2, 1)) + 0.01 * KEYS
    keys[20] = -keys[20]
    scores = SCORES["keydiff"](keys)
    assert set(np.argsort(scores[:, 0])[-5:]) == {18, 19, 20, 21, 22}
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))
    lengths = np.random.default_rng(2).uniform(0.5, 2, (60, 2, 1))
    changed = (lengths * keys @ turn).astype(np.float32)
    np.testing.assert_allclose(SCORES["keydiff"](changed), scores, atol=1e-5)


def test_heads_score_by_themselves() -> None:
    """What another head holds changes nothing."""
    alone = SCORES["keydiff"](np.ascontiguousarray(KEYS[:, 1:]))
    np.testing.assert_allclose(SCORES["keydiff"](KEYS)[:, 1:], alone, atol=1e-6)


@settings(deadline=None)  # busy machines take their time
@given(st.integers(0, 40), st.integers(1, 9))
def test_pooling_is_the_mean_of_the_neighbours_there_are(n: int, width: int) -> None:
    """Against one loop."""
    values = np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32)
    before, after = width // 2, width - 1 - width // 2
    rows = [values[max(0, i - before) : i + after + 1].mean(axis=0) for i in range(n)]
    np.testing.assert_allclose(pooled(values, width), np.reshape(rows, (n, 2)), atol=1e-5)


@pytest.mark.parametrize("n_kept", [1, 7, 16, 33])
def test_even_tokens_leave_no_long_gap(n_kept: int) -> None:
    """However many are kept, none lies further from the next than twice what it must."""
    kept = np.sort(np.argsort(SCORES["evenly"](KEYS)[:, 0], kind="stable")[-n_kept:])
    assert np.diff(np.r_[kept, 60]).max() <= 2 * 64 / n_kept


@settings(deadline=None)  # busy machines take their time
@given(st.data())
def test_selection_keeps_what_is_protected_and_then_the_best(data: st.DataObject) -> None:
    """For each head: as many as were asked for, in order, nothing better left out."""
    n = data.draw(st.integers(1, 30))
    scores = np.array(
        data.draw(
            st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=n, max_size=n)
        ),
        dtype=np.float32,
    )
    # Keys that ran over have no score, and matter least.
    scores[data.draw(st.lists(st.integers(0, n - 1), max_size=n))] = np.nan
    protected = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    n_kept = data.draw(st.integers(int(protected.sum()), n))
    chosen = select(scores, protected, n_kept)
    scores[np.isnan(scores)] = -np.inf
    assert chosen.shape == (n_kept, 2)
    for head in range(2):
        kept = chosen[:, head].tolist()
        assert kept == sorted(set(kept))
        assert set(np.flatnonzero(protected)) <= set(kept)
        free = [i for i in kept if not protected[i]]
        left = [i for i in range(n) if i not in kept]
        for out in left:
            assert all((scores[i, head], i) > (scores[out, head], out) for i in free)
