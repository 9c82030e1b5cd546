"""Texts that come, grow, shrink and go in one common context, whose free cells lie in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from longctx import ModelInfo, plan_context
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.cache.shared import OwnContexts
from longctx.engine.common import CommonContexts
from tests.models import TINY
from tests.support.thorough import quick

Open = Callable[[bool], Session]


def no_text(_text: str, _at_start: bool) -> list[int]:
    """These sessions are fed ids."""
    raise AssertionError


@pytest.fixture
def new() -> Iterator[Open]:
    """``new(alone)``: a session under Self-Extend, with a context of its own or a common one."""
    info = ModelInfo.from_gguf(TINY)
    plan = plan_context(info, 2048, method="self-extend", reserve_output=16)
    backend = LlamaCppBackend(info, plan, n_threads=1)
    rotator, common = KeyRotator(backend), CommonContexts(backend)
    opened: list[Session] = []

    def make(alone: bool) -> Session:
        contexts = OwnContexts(backend, 1) if alone else common
        opened.append(Session(backend, rotator, no_text, contexts=contexts))
        return opened[-1]

    yield make
    for session in opened:
        session.close()
    common.close()
    backend.close()


def check(session: Session) -> None:
    """llama.cpp holds what we believe it holds."""
    shared = session.shared_context
    # A cell's position is its index; where its keys stand is in their rotation.
    assert shared.context.last_position(session.sequence) == session.n_tokens - 1


def test_the_first_text_is_in_the_common_context(new: Open) -> None:
    """Although there is none yet when it comes."""
    assert new(False).shared_context.is_common


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("keep", [0, 1, 30, 250])
def test_a_compressed_text_is_cut_and_goes_on(alone: bool, keep: int, new: Open) -> None:
    """Cut back to where nothing is compressed, the tokens behind the cut are gone."""
    text = [int(x) for x in np.random.default_rng(0).integers(5, 200, 700)]
    session, control = new(alone), new(True)
    session.feed(text)
    assert len(session.window.groups)
    session.truncate(keep)
    check(session)
    session.feed(text[:200])
    check(session)
    control.feed(text[:keep] + text[:200])
    probe = [7, 8, 9, 10]
    np.testing.assert_allclose(session.next_nll(probe), control.next_nll(probe), atol=0.1)


@pytest.mark.parametrize("seed", quick(range(6), 0))
def test_every_text_is_what_it_is_alone(seed: int, new: Open) -> None:
    """Tokens that share a position are told apart by their cells' order, pieces or none."""
    rng = np.random.default_rng(seed)

    def ids(n: int) -> list[int]:
        return [int(x) for x in rng.integers(5, 200, n)]

    live: list[Session] = []
    for _ in range(60):
        kind = rng.integers(4)
        if (kind == 0 and len(live) < 8) or not live:
            live.append(new(False))
        elif kind == 1 and len(live) > 2:
            live.pop(int(rng.integers(len(live)))).close()
        elif kind == 2:
            cut = live[int(rng.integers(len(live)))]
            cut.truncate(int(rng.integers(cut.n_tokens + 1)))
        fed, n = live[int(rng.integers(len(live)))], int(rng.integers(1, 220))
        if sum(session.n_tokens for session in live) + n < 1900:
            fed.feed(ids(n))
        for session in live:
            check(session)
    alone, probe = new(True), ids(3)
    for session in live:
        if session.n_tokens:
            alone.truncate(0)
            alone.feed(list(session.tokens))
            np.testing.assert_allclose(session.next_nll(probe), alone.next_nll(probe), atol=0.2)
