"""Texts whose cells are full: whoever must move finds others in its way, and takes no memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from longctx._native import CacheFullError
from longctx.cache import Session
from tests.support.engine_bench import Bench, ids
from tests.support.thorough import quick

N_CTX = 1024
TRAINED = 512
BEGINNING = ids(500, 1)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Memory for one context, trained for half of its window: texts compress as they grow."""
    bench = Bench(n_ctx=N_CTX, limit_bytes=N_CTX)
    yield bench
    bench.close()


@pytest.mark.parametrize("seed", quick(range(2), 0))
def test_no_text_takes_a_context_that_nobody_planned(bench: Bench, seed: int) -> None:
    """Conversations branch off one beginning, all at once; as each of them grows, its tokens move
    closer together, out of the cells that it shared. Who finds no others waits."""
    draw = random.Random(seed)
    prompts = [[*BEGINNING, *ids(draw.randrange(40, 250), 2 + i)] for i in range(6)]
    first_alone = []
    for prompt in prompts:
        bench.ask(prompt, 3)
        bench.run()
        first_alone.append(bench.outcomes[len(first_alone)].ids)
    for prompt in [*prompts, *prompts]:
        bench.ask(prompt, 40)
        bench.scheduler.round()
    while bench.scheduler.round():
        assert bench.common.n_open == 1
        assert all(session.shared_context.is_common for session in bench.pool.sessions)
    outcomes = [bench.outcomes[6 + i] for i in range(12)]
    # Behind the first few, two tokens may be as likely but for rounding.
    assert [outcome.ids[:3] for outcome in outcomes] == first_alone * 2
    assert all(len(outcome.ids) == 40 for outcome in outcomes)


def test_who_cannot_move_is_as_before(bench: Bench) -> None:
    """A text that shares its cells cannot be arranged anew where others have the rest, and loses
    nothing; it can when one of them may go."""
    beginning = ids(300, 1)
    texts = beginning, [*beginning, *ids(10, 2)], ids(600, 3)
    sessions = []
    for text in texts:
        session = bench.pool.pick(text, must=True)
        assert session is not None
        session.feed(text[session.match(text) :])
        sessions.append(session)
    _, twin, other = sessions
    before = twin.tokens, twin.positions.tolist()
    with pytest.raises(CacheFullError, match="others have the cells"):
        twin.slide(8)
    assert before == (twin.tokens, twin.positions.tolist())
    bench.pool.give_back(other)
    twin.slide(8)
    assert not other.is_open
    assert twin.n_tokens == 302


def filled(bench: Bench, text: list[int]) -> Session:
    """A session that somebody outside the pool holds."""
    session = bench.new()
    bench.pool.lend(session)
    session.feed(text)
    return session


def test_who_waits_for_cells_is_not_overtaken(bench: Bench) -> None:
    """What is found of its prompt must be arranged anew, where sessions by hand have the cells: its
    answer begins without that, and before those that were asked for later."""
    beginning = ids(620, 1)
    held = [filled(bench, beginning), filled(bench, ids(380, 2))]
    bench.pool.add(held[0].fork())
    first = bench.ask([*beginning[:400], *ids(20, 3)], 4)
    second = bench.ask(ids(12, 4), 4)
    bench.scheduler.round()
    assert bench.pool.sessions == ()  # it was found, and went
    assert (first.session, second.session) == (None, None)
    assert len(bench.scheduler) == 2
    for session in held:
        session.close()
    bench.scheduler.round()
    assert None not in (first.session, second.session)
    bench.run()
    assert [len(bench.outcomes[i].ids) for i in range(2)] == [4, 4]


def test_a_saved_text_that_finds_no_cells_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the file's that others have them."""
    for module in ("longctx.engine.keeping", "longctx.engine.store"):
        monkeypatch.setattr(f"{module}.MIN_TOKENS", 100)
    bench, text = Bench(n_ctx=N_CTX, limit_bytes=N_CTX, cache_dir=tmp_path), ids(300, 1)
    assert bench.store is not None
    saved = filled(bench, text)
    saved.save(bench.store.path_for(text))
    saved.close()
    other = filled(bench, ids(900, 2))
    for n_cached in (0, 300):
        session = bench.pool.pick(text)
        assert session is not None
        assert (session.n_tokens, session.shared(text)) == (n_cached, n_cached)
        bench.pool.drop(session)
        other.close()
    bench.close()


@pytest.mark.parametrize("n_full", [1, 2])
def test_windows_of_other_scales_take_no_memory_that_is_taken(n_full: int) -> None:
    """Under YaRN each text that grows has a context of its own. Those that find no memory for one
    wait, also in the middle of an answer, and go on where they were."""
    prompts = [ids(n, 2 + i) for i, n in enumerate((1100, 495, 490, 700, 60))]
    bench = Bench(n_ctx=4 * TRAINED, limit_bytes=TRAINED + n_full * 4 * TRAINED, method="yarn")
    most = 0
    try:
        alone = []
        for i, prompt in enumerate(prompts):
            bench.ask(prompt, 30)
            bench.run()
            alone.append(bench.outcomes[i].ids)
        for prompt in prompts:
            bench.ask(prompt, 30)
        while bench.scheduler.round():
            open_ones = {s.shared_context for s in bench.pool.sessions}
            own = [shared.context.n_ctx for shared in open_ones if not shared.is_common]
            most = max(most, sum(own))
            assert sum(own) + bench.common.n_open * TRAINED <= bench.limit_bytes
        outcomes = [bench.outcomes[len(prompts) + i] for i in range(len(prompts))]
        assert [outcome.ids[:3] for outcome in outcomes] == [each[:3] for each in alone]
        assert all(len(outcome.ids) == 30 for outcome in outcomes)
        assert most >= (4 if n_full == 1 else 6) * TRAINED  # it was made use of
    finally:
        bench.close()


def test_who_finds_no_cells_among_the_others_stays_apart() -> None:
    """A text that was cut back stands at the scale of its length, with the others; where they have
    the cells, it keeps its own and what it holds."""
    bench = Bench(n_ctx=2 * TRAINED, limit_bytes=3 * TRAINED, method="yarn")
    try:
        text = ids(700, 1)
        session, other = bench.pool.pick(text, must=True), bench.pool.pick(ids(300, 2), must=True)
        assert session is not None
        assert other is not None
        session.feed(text)
        other.feed(ids(300, 2))
        apart = session.shared_context
        assert not apart.is_common
        session.truncate(400)
        want = session.window.cells.export()
        for _ in range(2):
            with pytest.raises(CacheFullError):
                session.admit(1)
            assert (session.text_ids, session.shared_context) == (text[:400], apart)
        np.testing.assert_array_equal(session.window.cells.export(), want)
        other.truncate(50)
        session.admit(1)
        assert session.shared_context is other.shared_context
        assert (session.text_ids, session.scale) == (text[:400], 1)
    finally:
        bench.close()


def test_who_made_way_does_not_take_it_again(tmp_path: Path) -> None:
    """Its text comes back from the folder at once, before the next round."""
    limit = TRAINED + 4 * TRAINED
    bench = Bench(n_ctx=4 * TRAINED, limit_bytes=limit, method="yarn", cache_dir=tmp_path)
    try:
        bench.ask(ids(480, 1), 60)
        bench.scheduler.round()
        bench.ask(ids(1100, 2), 60)
        n_rounds = 0
        while bench.scheduler.round():
            n_rounds += 1
            assert n_rounds < 500
        assert [len(bench.outcomes[i].ids) for i in range(2)] == [60, 60]
    finally:
        bench.close()
