"""Forks share a cache until they differ."""

from __future__ import annotations

import numpy as np
import pytest

from longctx.cache import Session
from tests.cache.test_session import IDS, opened
from tests.conftest import TinyGguf


def same_cache(one: Session, other: Session) -> bool:
    """Whether two sessions stand in one native context."""
    return one.shared_context is other.shared_context


@pytest.mark.parametrize("architecture", ["llama", "deepseek2", "gemma3", "mamba"])
def test_forks_go_their_own_ways(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Each scores its continuation as a session that was never forked."""
    target = 1024 if architecture != "mamba" else 512
    with opened(tiny_gguf(architecture, n_ctx_train=1024), target) as llm:
        alone, parent = llm.session(), llm.session()
        alone.feed(IDS[:300])
        parent.feed(IDS[:300])
        twin = parent.fork()
        assert same_cache(parent, twin) == (architecture in ("llama", "deepseek2"))
        expected = alone.next_nll(IDS[300:320])
        parent.feed(IDS[500:520])
        np.testing.assert_allclose(twin.nll(IDS[300:320]), expected, atol=2e-2)
        assert list(parent.tokens) == [*IDS[:300], *IDS[500:520]]
        assert list(twin.tokens) == IDS[:320]
        parent.truncate(100)
        assert np.isfinite(twin.next_nll([5])).all()
        twin.close()
        assert np.isfinite(parent.next_nll([5])).all()


def test_logits_belong_to_whoever_decoded_last(tiny_gguf: TinyGguf) -> None:
    """One native context has one set of logits; a fork must not score by its twin's."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        parent = llm.session()
        parent.feed(IDS[:50])
        twin = parent.fork()
        want = twin.next_nll(IDS[50:52])
        parent.feed(IDS[200:260])
        np.testing.assert_allclose(twin.next_nll(IDS[50:52]), want, atol=2e-2)


def test_a_fork_that_grows_compresses_slides_or_finds_no_room_moves_out(
    tiny_gguf: TinyGguf,
) -> None:
    """Cells are shared, so what re-rotates keys must not touch its twin's."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, method="ntk", n_keep=4, overflow="slide") as llm:
        parent = llm.session()
        parent.feed(IDS[:200])
        grows, slides, fills = parent.fork(), parent.fork(), parent.fork()
        grows.grow(1000)
        slides.slide(100)
        fills.feed(IDS[200:240])
        parent.feed(IDS[300:340])
        assert not any(same_cache(parent, fork) for fork in (grows, slides, fills))
        assert list(parent.tokens) == [*IDS[:200], *IDS[300:340]]
        assert list(fills.tokens) == IDS[:240]
        assert list(slides.tokens) == [*IDS[:4], *IDS[104:200]]
        assert (grows.n_ctx, parent.n_ctx) == (1024, 256)
    with opened(path, method="self-extend") as llm:
        parent = llm.session()
        parent.feed(IDS[:150])
        twin = parent.fork()
        twin.feed(IDS[150:400])
        assert twin.method == "self-extend"
        assert parent.positions.tolist() == list(range(150))
        parent.feed(IDS[150:160])
        assert twin.tokens == tuple(IDS[:400])


def test_more_forks_than_a_cache_has_sequences(tiny_gguf: TinyGguf) -> None:
    """The seventeenth gets a cache of its own; a freed sequence is taken again."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        parent = llm.session()
        parent.feed(IDS[:60])
        forks = [parent.fork() for _ in range(17)]
        assert [same_cache(parent, fork) for fork in forks] == [True] * 15 + [False] * 2
        for i, fork in enumerate(forks):
            fork.feed(IDS[100 + i : 104 + i])
        for i, fork in enumerate(forks):
            assert list(fork.tokens) == [*IDS[:60], *IDS[100 + i : 104 + i]]
        forks[3].close()
        assert same_cache(parent, parent.fork())
