"""Several prompts in one cache, a token of each in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.cache import Session, advance_each
from longctx.cache.side_by_side import AT_ONCE, common_to_all
from tests.cache.test_session import IDS, opened
from tests.conftest import TinyGguf

COMMON = IDS[:60]


def prompts(n: int, length: int = 40) -> list[list[int]]:
    """Token ids that begin alike and go on differently."""
    return [[*COMMON, *IDS[100 + i * length : 100 + (i + 1) * length]] for i in range(n)]


def fed(llm: LongContextLLM, wanted: Sequence[Sequence[int]], **options: Any) -> list[Session]:
    """Sessions that hold the prompts, those of all rounds in the prompts' order."""
    found: dict[int, Session] = {}
    for sessions in llm._side_by_side.rounds(wanted, options.pop("max_tokens", 8)):
        for i, session in sessions.items():
            session.feed(wanted[i][session.match(wanted[i]) :])
            found[i] = session
    return [found[i] for i in range(len(wanted))]


@pytest.mark.parametrize("options", [{}, {"method": "ntk", "window": "fixed"}])
def test_they_write_as_each_would_alone(tiny_gguf: TinyGguf, options: dict[str, Any]) -> None:
    """Their likelihoods after tokens written side by side are those of sessions alone."""
    with opened(tiny_gguf("llama", n_ctx_train=512), **options) as llm:
        together = fed(llm, prompts(4))
        assert all(one.is_beside(together[0]) for one in together)
        for step in range(5):
            advance_each(together, [IDS[900 + step + i] for i in range(4)])
        for i, one in enumerate(together):
            text = [*prompts(4)[i], *(IDS[900 + step + i] for step in range(5))]
            assert list(one.tokens) == text
            assert one.positions.tolist() == list(range(len(text)))
            alone = llm.session()
            alone.feed(text)
            np.testing.assert_allclose(one.next_logits(), alone.next_logits(), atol=5e-2)


def test_logits_are_each_ones_own_row(tiny_gguf: TinyGguf) -> None:
    """Asked in any order, and after one of them has moved on alone."""
    with opened(tiny_gguf("llama", n_ctx_train=512)) as llm:
        one, other, third = fed(llm, prompts(3))
        advance_each([one, other, third], [5, 6, 7])
        rows = [s.next_logits().copy() for s in (third, one, other)]
        other.advance(9)
        for row, session in zip(rows, (third, one), strict=False):
            np.testing.assert_allclose(session.next_logits(), row, atol=5e-2)
        assert np.abs(other.next_logits() - rows[2]).max() > 0.1


def test_what_they_have_in_common_is_prefilled_once(tiny_gguf: TinyGguf) -> None:
    """Each finds it in the cache; the windows fit the longest prompt and its answer."""
    with opened(tiny_gguf("llama", n_ctx_train=512), 2048) as llm:
        wanted = prompts(3)
        (sessions,) = llm._side_by_side.rounds(wanted, 8)
        assert [s.match(wanted[i]) for i, s in sessions.items()] == [60, 60, 60]
        assert {s.n_ctx for s in sessions.values()} == {256}


def test_what_is_cached_goes_first_and_is_not_prefilled_again(tiny_gguf: TinyGguf) -> None:
    """The second time every prompt finds its own session."""
    with opened(tiny_gguf("llama", n_ctx_train=512)) as llm:
        wanted = prompts(3)
        before = fed(llm, wanted[:1])
        rounds = [list(sessions) for sessions in llm._side_by_side.rounds(wanted, 8)]
        assert rounds == [[0], [1, 2]]
        after = fed(llm, wanted)
        assert after[0] is before[0]
        again = [s.match(ids) for s, ids in zip(after, wanted, strict=True)]
        assert again == [len(ids) for ids in wanted]


def test_more_than_at_once_take_turns(tiny_gguf: TinyGguf) -> None:
    """In order, a round at a time."""
    with opened(tiny_gguf("llama", n_ctx_train=512)) as llm:
        n = AT_ONCE + 3
        rounds = [list(sessions) for sessions in llm._side_by_side.rounds(prompts(n), 8)]
        assert rounds == [list(range(AT_ONCE)), list(range(AT_ONCE, n))]


def test_memory_bounds_how_many(tiny_gguf: TinyGguf, monkeypatch: Any) -> None:
    """With room for two windows, two at a time; with less, one after the other."""
    with opened(tiny_gguf("llama", n_ctx_train=512)) as llm:
        for fitting, expected in ((2, [[0, 1], [2, 3]]), (0, [[0], [1], [2], [3]])):
            monkeypatch.setattr(llm._pool, "n_fitting", lambda n_ctx, n=fitting: n)
            wanted = prompts(4) if fitting else [[9, *ids] for ids in prompts(4)]
            rounds = [list(sessions) for sessions in llm._side_by_side.rounds(wanted, 8)]
            assert rounds == expected


@pytest.mark.parametrize("architecture", ["gemma3", "mamba"])
def test_caches_that_hold_one_sequence_take_turns(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Sliding caches and recurrent states would take their full size for each."""
    target = 512 if architecture == "mamba" else 1024
    with opened(tiny_gguf(architecture, n_ctx_train=512), target) as llm:
        rounds = [list(sessions) for sessions in llm._side_by_side.rounds(prompts(3), 8)]
        assert rounds == [[0], [1], [2]]


def test_one_that_grows_moves_out_and_the_others_stay(tiny_gguf: TinyGguf) -> None:
    """A next question may need a larger window; its neighbours' text is untouched."""
    with opened(tiny_gguf("llama", n_ctx_train=256), method="ntk") as llm:
        one, other = fed(llm, prompts(2))
        one.feed(IDS[1000:1300])
        assert (one.n_ctx, other.n_ctx) == (512, 256)
        assert not one.is_beside(other)
        advance_each([one, other], [5, 6])
        assert list(one.tokens) == [*prompts(2)[0], *IDS[1000:1300], 5]
        assert list(other.tokens) == [*prompts(2)[1], 6]


def test_self_extend_compresses_one_of_them(tiny_gguf: TinyGguf) -> None:
    """Keys are moved within a cache that others stand in too."""
    with opened(tiny_gguf("llama", n_ctx_train=256), 1024) as llm:
        wanted = [ids + IDS[2000 + i : 2300 + i] for i, ids in enumerate(prompts(2))]
        one, other = fed(llm, wanted)
        assert one.is_beside(other)
        assert one.method == other.method == "self-extend"
        advance_each([one, other], [5, 6])
        alone = llm.session()
        alone.feed([*wanted[0], 5])
        np.testing.assert_array_equal(one.positions, alone.positions)
        np.testing.assert_allclose(one.next_logits(), alone.next_logits(), atol=5e-2)


def test_the_memory_of_neighbours_comes_back_together(
    tiny_gguf: TinyGguf, monkeypatch: Any
) -> None:
    """Where the oldest must go, those that share its cache go with it."""
    monkeypatch.setattr("longctx.cache.pool.WORTH_KEEPING", 20)
    with opened(tiny_gguf("llama", n_ctx_train=512)) as llm:
        sessions = fed(llm, prompts(3))
        llm._pool._limit_bytes = llm._pool._besides_bytes() + llm._pool._cost_bytes(512)
        llm.generate("the cat sat", max_tokens=1)
        assert not any(session.is_open for session in sessions)


@pytest.mark.parametrize(
    ("texts", "n"), [([[1, 2, 3], [1, 2, 4]], 2), ([[1, 2], [1, 2]], 1), ([[1], [2, 3]], 0)]
)
def test_each_keeps_a_token_for_itself(texts: list[list[int]], n: int) -> None:
    """The last token of a prompt is what its answer is predicted from."""
    assert list(common_to_all(texts)) == texts[0][:n]
