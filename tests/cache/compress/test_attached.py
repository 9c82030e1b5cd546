"""Texts that were compressed alone, and attached to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import BackendError, RequestError, UnsupportedModelError
from longctx.cache import Session
from longctx.cache.compress import NO_TOKEN
from longctx.prompt import CompressedSpan
from tests.cache.test_session import IDS, keys, opened
from tests.conftest import TinyGguf

FIRST, SECOND, THIRD, REST = IDS[:100], IDS[200:360], IDS[400:520], IDS[600:620]
SHAPE: dict[str, Any] = {"n_embd": 256, "n_head": 4, "n_head_kv": 2, "head_dim": 64, "n_rot": 64}


def compressed(llm: Any, ids: list[int], share: float = 0.5, **options: Any) -> Session:
    """A session of a text by itself, compressed."""
    session: Session = llm.session()
    session.feed(ids)
    session.compress(share, **options)
    return session


def stitched(llm: Any) -> Session:
    """Whole, compressed, whole, compressed, whole."""
    session: Session = llm.session()
    session.feed(FIRST)
    session.attach(compressed(llm, SECOND))
    session.feed(IDS[360:370])
    session.attach(compressed(llm, THIRD, 0.75))
    session.feed(IDS[520:540])
    return session


TEXT = [*FIRST, *SECOND, *IDS[360:370], *THIRD, *IDS[520:540]]
AT_REST = CompressedSpan(100, 260, 0.5), CompressedSpan(270, 390, 0.75)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("method", ["self-extend", "ntk"])
def test_it_is_what_it_was_alone(tiny_gguf: TinyGguf, kv_type: str, method: str) -> None:
    """Attached to nothing, it predicts what it did; behind a text its keys are turned there."""
    path = tiny_gguf(**SHAPE, n_ctx_train=1024)
    with opened(path, kv_type=kv_type, method=method) as llm:
        alone, empty = compressed(llm, SECOND), llm.session()
        empty.attach(alone)
        np.testing.assert_array_equal(keys(empty, 2), keys(alone, 2))
        for each in (alone, empty):
            each.feed(REST[:1])
        want = alone.next_nll(REST)
        np.testing.assert_allclose(empty.next_nll(REST), want, atol=0.02)
        behind = llm.session()
        behind.feed(FIRST)
        behind.attach(compressed(llm, SECOND))
        behind.feed(REST)
        assert behind.positions.tolist() == list(range(len(FIRST) + 80 + len(REST)))
        assert behind.text_ids == [*FIRST, *SECOND, *REST]
        turned, first = keys(behind, 0)[100:180], keys(alone, 0)[:80]
        norms = [np.linalg.norm(rows, axis=1) for rows in (turned, first)]
        np.testing.assert_allclose(*norms, rtol=0.02)
        assert np.abs(turned - first).max() > 0.1


@pytest.mark.parametrize(("share", "n_cells"), [(0.01, 5), (0.04, 7), (0.999, 160)])
def test_as_few_cells_as_are_left_and_as_many(
    tiny_gguf: TinyGguf, tmp_path: Path, share: float, n_cells: int
) -> None:
    """Sinks and the latest tokens alone, or all of them; copied as they are, or from a file."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        alone = compressed(llm, SECOND, share)
        saved = llm.session()
        saved.load(alone.save(tmp_path / "alone"))
        for each in (alone, saved):
            assert each.n_tokens == n_cells
            assert each.dropped_tokens == 0
            behind = llm.session()
            behind.feed(FIRST)
            behind.attach(each, recompute=10)
            assert behind.n_tokens == 100 + n_cells
            assert behind.text_ids == [*FIRST, *SECOND]
            behind.feed(REST)
            assert np.isfinite(behind.next_nll(REST)).all()
            behind.truncate(100 + n_cells // 2)
            assert behind.text_ids == [*FIRST, *SECOND][: 100 + n_cells // 2]


def test_what_is_said_of_it(tiny_gguf: TinyGguf) -> None:
    """One stretch of composite cells, from the first passage to the last; text whole."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        session = stitched(llm)
        assert session.text_ids == TEXT
        assert session.n_tokens == 100 + 80 + 10 + 90 + 20
        assert set(session.tokens[100:280]) == {NO_TOKEN}
        assert session.compressed_tokens == 160 + 10 + 120
        assert session.dropped_tokens == session.prefilled_again == 0
        assert session.is_stitched
        assert session.match(TEXT) == len(TEXT)
        session.attach(compressed(llm, REST * 10), recompute=100)  # as many as stand whole
        assert session.tokens[-100:-96] == (NO_TOKEN,) * 4
        assert session.text_ids == [*TEXT, *REST * 10]


@pytest.mark.parametrize("kept", [50, 100, 150, 265, 300, 389, 390, 395])
def test_cut_back_and_read_on(tiny_gguf: TinyGguf, kept: int) -> None:
    """Inside what is compressed, text is prefilled again from where that begins."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        session = stitched(llm)
        ids = [*TEXT[:kept], *REST]
        matched = session.match(ids)
        assert matched == (kept if kept <= 100 or kept >= 390 else 100)
        session.feed(ids[matched:])
        assert session.text_ids == ids
        if kept < 390:
            assert (session.compressed_tokens, session.is_stitched) == (0, False)
            fresh = llm.session()
            fresh.feed(ids)
            want = fresh.next_nll(REST)
            np.testing.assert_allclose(session.next_nll(REST), want, atol=0.1)
            assert session.n_keep == fresh.n_keep


@pytest.mark.parametrize(
    ("asked", "shared"),
    [
        (AT_REST, len(TEXT)),
        (None, len(TEXT)),
        ((), 100),
        (AT_REST[:1], 100),  # the stretch is one, and ends with the second
        ((CompressedSpan(100, 260, 0.25), AT_REST[1]), 100),
        ((CompressedSpan(10, 90, 0.5), *AT_REST), 10),
        ((*AT_REST, CompressedSpan(395, 405, 0.5)), 395),
    ],
)
def test_only_who_asks_for_it_gets_it(
    tiny_gguf: TinyGguf, asked: tuple[CompressedSpan, ...] | None, shared: int
) -> None:
    """Passages must stand compressed as they are asked for, and nothing else may."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        session = stitched(llm)
        assert session.shared(TEXT, asked) == shared
        assert session.match([*TEXT, 5], asked) == shared
        assert session.text_ids == TEXT[:shared]


def test_it_goes_on_as_any_compressed_text(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Forks, files, growing, sliding and more compression."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        session = stitched(llm)
        want = session.next_nll(REST)
        fork = session.fork()
        loaded = llm.load_session(session.save(tmp_path / "a.session"))
        for each in (fork, loaded):
            assert each.text_ids == TEXT
            np.testing.assert_allclose(each.next_nll(REST), want, atol=0.05)
            assert each.is_stitched
            assert (each.shared(TEXT, AT_REST), each.shared(TEXT, ())) == (len(TEXT), 100)
        n = session.n_tokens
        session.compress(0.5)
        assert session.n_tokens < n
        assert session.text_ids == TEXT
        assert session.shared(TEXT, ()) == 100
        fork.slide(60)
        fork.slide(130)
        assert fork.text_ids == TEXT
        assert fork.shared(TEXT, ()) == 100
        assert len(fork.greedy(3)) == len(session.greedy(3)) == 3


def test_what_was_protected_stays_protected(tiny_gguf: TinyGguf) -> None:
    """Where it stands now, through a later compression."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        passage = compressed(llm, SECOND, protect=[(30, 40)])
        whole = llm.session()
        whole.feed(SECOND)
        session = stitched(llm)
        session.attach(passage)
        session.feed(REST)
        session.compress(0.5)
        # Turned, but as long: of each head's.
        kept, wanted = (
            np.linalg.norm(keys(each, 0).reshape(-1, 2, 64), axis=2) for each in (session, whole)
        )
        nearest = np.abs(kept[:, None] - wanted[None, 30:40]).min(axis=0)
        assert (nearest < 1e-3 * wanted[30:40]).all()
        assert session.window.middle.composite.shields[0].sum(axis=0).tolist() == [10, 10]


def test_forks_that_have_all_sequences_are_left(tiny_gguf: TinyGguf) -> None:
    """Attaching takes one more for a moment; the text moves to a cache of its own."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024)) as llm:
        session = llm.session()
        session.feed(FIRST)
        forks = [session.fork() for _ in range(session.shared_context.n_free_sequences)]
        session.attach(compressed(llm, SECOND))
        assert session.text_ids == [*FIRST, *SECOND]
        assert session.n_tokens == 180
        assert {fork.tokens for fork in forks} == {tuple(FIRST)}


def test_where_it_cannot_be(tiny_gguf: TinyGguf) -> None:
    """A window that slid is no passage; a number is none."""
    with opened(tiny_gguf(**SHAPE, n_ctx_train=1024), n_keep=4, overflow="slide") as llm:
        session = compressed(llm, SECOND)
        session.slide(60)
        with pytest.raises(BackendError, match="dropped"):
            session.passage()
        with pytest.raises(RequestError, match="passage"):
            llm.session().attach(0.5)
    with (
        opened(tiny_gguf("gemma3", n_ctx_train=1024)) as llm,
        pytest.raises(UnsupportedModelError, match="sliding-window"),
    ):
        compressed(llm, SECOND)
