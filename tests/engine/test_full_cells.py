"""Texts whose cells are full: whoever must move finds others in its way, and takes no memory."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from longctx._native import CacheFullError
from tests.engine.test_staging import Bench, ids

N_CTX = 1024
BEGINNING = ids(500, 1)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Memory for one context, trained for half of its window: texts compress as they grow."""
    bench = Bench(n_ctx=N_CTX, limit_bytes=N_CTX)
    yield bench
    bench.close()


@pytest.mark.parametrize("seed", range(2))
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
