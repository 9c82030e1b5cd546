"""Texts that stand apart: where, when, and what becomes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from longctx import BackendError, ModelInfo
from longctx._native import Context
from longctx.engine import Writing
from longctx.engine.kv_streams import (
    FEWEST_CELLS,
    MAX_SHARED,
    WORTH_CELLS,
    worth_cells,
)
from longctx.engine.seating import WORTH_TOKENS
from longctx.planner import CELLS_APART
from longctx.rope import RopeConfig
from tests.models import TINY
from tests.support.engine_bench import Bench, ids
from tests.support.thorough import quick


@pytest.fixture
def bench() -> Iterator[Bench]:
    """4,096 cells."""
    bench = Bench()
    yield bench
    bench.close()


def is_apart(bench: Bench, writing: Writing) -> bool:
    """Whether it stands in a stream."""
    return writing.session is not None and bench.streams.holds(writing.session)


def begin(bench: Bench, n: int, n_tokens: int) -> Writing:
    """An answer that has its prompt."""
    writing = bench.ask(ids(n, 1), n_tokens)
    while writing.n_pending or writing.session is None:
        bench.scheduler.round()
    return writing


def keep(bench: Bench, n: int) -> None:
    """A text that is cached, and nobody reads on in."""
    bench.ask(ids(n, 1), 1)
    bench.run()


def alone(prompt: list[int], n_tokens: int) -> tuple[int, ...]:
    """What an answer is where nobody else was."""
    bench = Bench()
    bench.ask(prompt, n_tokens)
    bench.run()
    assert bench.streams.shape is None  # nobody would have slowed it
    found = bench.outcomes[0].ids
    bench.close()
    return found


def test_a_prompt_is_prefilled_apart_and_joins_the_others() -> None:
    """While a long answer is decoded. Greedy answers are what they are alone; nothing is left."""
    bench = Bench(limit_bytes=4096 + CELLS_APART)  # the long one shall find no stream
    prompts = [ids(WORTH_CELLS + 200, 1), ids(400, 2), ids(300, 3), ids(WORTH_TOKENS - 1, 4)]
    first = begin(bench, WORTH_CELLS + 200, 24)
    rest = [bench.ask(prompt, 24) for prompt in prompts[1:]]
    seen: set[int] = set()
    while bench.scheduler.round():
        seen |= {i for i, writing in enumerate(rest) if is_apart(bench, writing)}
        assert not is_apart(bench, first)
    assert seen == {0, 1}, "the short prompt is prefilled in place"
    # Behind the first few, two tokens may be as likely but for rounding.
    found = [bench.outcomes[i].ids[:12] for i in range(4)]
    assert found == [alone(each, 24)[:12] for each in prompts]
    assert [bench.outcomes[i].usage.prefilled_tokens for i in range(4)] == [*map(len, prompts)]
    assert not any(bench.streams.holds(session) for session in bench.pool.sessions)
    bench.close()


def test_short_answers_are_written_apart(bench: Bench) -> None:
    """Beside what is cached: each in its stream, neighbours in a batch, and as they are alone."""
    keep(bench, WORTH_CELLS + 100)
    prompts = [ids(60 + 40 * i, 2 + i) for i in range(5)]
    writings = [bench.ask(prompt, 30 - 4 * i) for i, prompt in enumerate(prompts)]
    most = 0
    while bench.scheduler.round():
        decoding = [w for w in writings if w.session and not w.n_pending]
        apart = [w.session.sequence for w in decoding if is_apart(bench, w) and w.session]
        most = max(most, len(apart))
    assert most == 5
    assert bench.streams.shape == (8, 512)
    for i, prompt in enumerate(prompts):
        assert bench.outcomes[1 + i].ids[:12] == alone(prompt, 30 - 4 * i)[:12]


def test_what_was_written_apart_is_cached(bench: Bench) -> None:
    """The next turn prefills only what is new."""
    keep(bench, WORTH_CELLS + 200)
    bench.ask(ids(400, 2), 8)
    bench.run()
    assert bench.streams.shape
    # Who comes between two answers finds it in cells that can be shared, and attached to.
    assert not any(session.shared_context.has_streams for session in bench.pool.sessions)
    answer = list(bench.outcomes[1].ids)
    bench.ask([*ids(400, 2), *answer, *ids(20, 5)], 8)
    bench.run()
    assert bench.outcomes[2].usage.cached_tokens >= 400 + len(answer) - 1


@pytest.mark.parametrize("n_first", [200, 480])
def test_one_that_outgrows_its_stream(bench: Bench, n_first: int) -> None:
    """Finds a larger one, and in the end goes where all others are: the same answers."""
    keep(bench, WORTH_CELLS + 100)
    bench.ask(ids(n_first, 2), 900)
    bench.ask(ids(100, 3), 700)
    shapes = set()
    while bench.scheduler.round():
        shapes.add(bench.streams.shape)
    assert {(2, 512), (2, 1024), (2, 2048)} >= shapes - {None} >= {(2, 1024), (2, 2048)}
    for number, (n, n_tokens) in enumerate([(n_first, 900), (100, 700)]):
        # Behind the first few, two tokens may be as likely but for rounding.
        assert bench.outcomes[1 + number].ids[:12] == alone(ids(n, 2 + number), n_tokens)[:12]
        assert len(bench.outcomes[1 + number].ids) == n_tokens


def test_a_short_one_beside_longer_ones(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What is opened for one more has the cells of those that are there."""
    keep(bench, WORTH_CELLS + 100)
    long = [bench.ask(ids(700 + 50 * i, 2 + i), 100) for i in range(2)]
    while not all(is_apart(bench, writing) and not writing.n_pending for writing in long):
        bench.scheduler.round()
    assert bench.streams.shape == (2, 1024)
    short = bench.ask(ids(100, 5), 20)
    while short.session is None or short.n_pending:
        bench.scheduler.round()
    bench.scheduler.round()
    assert all(is_apart(bench, writing) for writing in (*long, short))
    assert bench.streams.shape == (4, 1024)
    bench.run()
    assert not caplog.records


def test_all_return_when_one_is_too_long(bench: Bench) -> None:
    """There is one batch of those who decode; when the long one has ended, they may go again."""
    keep(bench, WORTH_CELLS + 100)
    short = [bench.ask(ids(100, 2 + i), 200) for i in range(3)]
    while not all(is_apart(bench, writing) and not writing.n_pending for writing in short):
        bench.scheduler.round()
    long = bench.ask(ids(2200, 9), 20)
    while long.session is None or long.n_pending:
        assert all(is_apart(bench, writing) for writing in short), "it is prefilled in place"
        bench.scheduler.round()
    while long.session is not None:
        bench.scheduler.round()
        assert long.session is None or not any(is_apart(bench, w) for w in short)
    bench.scheduler.round()
    assert all(is_apart(bench, writing) for writing in short)
    bench.run()
    assert [len(bench.outcomes[i].ids) for i in range(1, 5)] == [200, 200, 200, 20]


def test_who_shares_a_long_beginning_stays(bench: Bench) -> None:
    """Apart it would be doubled, and kept twice afterwards."""
    keep(bench, WORTH_CELLS + 100)
    beginning = ids(MAX_SHARED + 100, 2)
    bench.ask(beginning, 1)
    bench.run()
    bench.scheduler.round()
    writings = [bench.ask([*beginning, *ids(150, 3 + i)], 8) for i in range(3)]
    used = bench.pool.sessions[-1].shared_context.cells.n_used
    while bench.scheduler.round():
        assert not any(is_apart(bench, writing) for writing in writings)
    # One goes on in the text that they begin with, or in a copy.
    assert bench.pool.sessions[-1].shared_context.cells.n_used <= used + 3 * (150 + 8)


def test_a_copy_of_what_stands_in_a_stream(bench: Bench) -> None:
    """It has the keys and values at once: llama.cpp copies a stream with the next batch only."""
    text = ids(300, 2)
    session = bench.pool.pick(text, must=True)
    assert session is not None
    assert bench.streams.open(4, 512)
    bench.streams.enter(session)
    session.feed(text)
    copies = [session.fork() for _ in range(2)]
    bench.streams.enter(copies[0])  # before anything is decoded
    for each in (session, *copies):
        each.feed([70, 80, 90])
    logits = []
    for each in (session, *copies):
        logits.append(each.next_logits()[0].copy())
    for found in logits[1:]:
        np.testing.assert_allclose(found, logits[0], atol=0.1)  # as batches round


def test_no_text_makes_way_for_a_copy_that_cannot_be() -> None:
    """What a prompt has in common with a text in a stream is no reason to lose the one that it
    would go on in otherwise."""
    bench = Bench(n_ctx=2048, limit_bytes=2048 + 1024)
    texts = [ids(1850, 1), ids(100, 2), ids(300, 3), ids(300, 4)]
    sessions = []
    for text in texts:
        session = bench.pool.pick(text, must=True)
        assert session is not None
        sessions.append(session)
        if len(text) == 300:
            assert bench.streams.has(2, 512) or bench.streams.open(2, 512)
            bench.streams.enter(session)
        session.feed(text)
    bench.pool.give_back(sessions[1])
    found = bench.pool.pick([*ids(300, 3)[:200], *ids(150, 5)], 16)
    assert found is None or found.is_open
    assert all(session.is_open for session in bench.pool.sessions)
    bench.close()


def test_who_finds_no_stream_waits_for_it(bench: Bench) -> None:
    """More prompts than are prefilled at once, one of them longer than any stream."""
    prompts = [ids(WORTH_CELLS + 100, 1), *(ids(900 - 100 * i, 2 + i) for i in range(5))]
    for prompt in prompts:
        bench.ask(prompt, 8)
    bench.ask(ids(2148, 9), 8)
    bench.run()
    assert [len(outcome.ids) for outcome in bench.outcomes.values()] == [8] * 7


def test_one_that_is_given_up_while_it_is_apart_makes_way() -> None:
    """The next one finds the room again."""
    bench = Bench(limit_bytes=4096 + CELLS_APART)
    begin(bench, WORTH_CELLS + 100, 200)
    for n in range(2, 6):
        writing = bench.ask(ids(900, n), 8)
        while not is_apart(bench, writing):
            bench.scheduler.round()
        assert writing.n_pending
        bench.channels[-1].cancel()
        bench.scheduler.round()
    bench.ask(ids(900, 7), 8)
    bench.run()
    assert len(bench.outcomes) == 2
    bench.close()


@pytest.mark.parametrize("spare", [CELLS_APART, 2048 + 2048])
@pytest.mark.parametrize("seed", quick(range(3), 0))
def test_answers_come_and_are_given_up_while_all_cells_are_taken(seed: int, spare: int) -> None:
    """What was given up in a stream makes way, and each answer is whole."""
    draw = random.Random(seed)
    bench = Bench(n_ctx=2048, limit_bytes=2048 + spare)
    given_up, asked = 0, 0
    under_way = [bench.ask(ids(WORTH_CELLS, 1), 300)]
    while asked < 24 or bench.scheduler.round():
        bench.scheduler.round()
        if asked < 24 and draw.random() < 0.5:
            asked += 1
            n_tokens = draw.choice([10, 40, 400])
            under_way.append(bench.ask(ids(draw.randrange(20, 700), 2 + asked), n_tokens))
        for number, writing in enumerate(under_way):
            if number and is_apart(bench, writing) and draw.random() < 0.05:
                given_up += not writing.is_cancelled
                bench.channels[number].cancel()
    assert given_up
    assert len(bench.outcomes) == 25 - given_up
    assert all(session.is_open for session in bench.pool.sessions)
    bench.close()


def test_without_memory_answers_are_written_in_place() -> None:
    """The plan's limit holds for streams as for everything."""
    bench = Bench(limit_bytes=4096 + 2 * FEWEST_CELLS - 1)
    keep(bench, WORTH_CELLS + 100)
    bench.ask(ids(400, 2), 8)
    bench.run()
    assert bench.streams.shape is None
    assert len(bench.outcomes) == 2
    bench.close()


def test_what_llama_cpp_has_no_memory_for_is_asked_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the plan bears it. Answers are written in place then, or in fewer streams."""
    asked, really = list[int](), bench.backend.open

    def open_(n_ctx: int, rope: RopeConfig, **options: Any) -> Context:
        asked.append(n_ctx * options.get("n_sequences", 1))
        if not options.get("unified", True) and asked[-1] > 2 * FEWEST_CELLS:
            raise BackendError("no memory")
        return really(n_ctx, rope, **options)

    monkeypatch.setattr(bench.backend, "open", open_)
    keep(bench, WORTH_CELLS + 100)
    asked.clear()
    for i in range(5):
        bench.ask(ids(300, 2 + i), 20)
    bench.run()
    assert len(bench.outcomes) == 6
    refused = [n for n in asked if n > 2 * FEWEST_CELLS]
    assert refused
    assert len(refused) == len(set(refused))
    bench.ask(ids(300, 9), 20)
    bench.run()
    assert bench.streams.shape == (2, FEWEST_CELLS)


def test_they_leave_memory_for_a_second_cache() -> None:
    """A small context is planned; a larger one may not take what texts are kept in."""
    for spare, shape in ((2 * 4096 - 1, (4, 512)), (2 * 4096, (8, 512))):
        bench = Bench(limit_bytes=4096 + spare)
        keep(bench, WORTH_CELLS + 100)
        for i in range(5):
            bench.ask(ids(300, 2 + i), 20)
        bench.run()
        assert bench.streams.shape == shape
        bench.close()


def test_they_are_freed_for_a_window_by_hand() -> None:
    """Nothing stands in them, and the memory is wanted."""
    bench = Bench(limit_bytes=4096 + CELLS_APART)
    keep(bench, WORTH_CELLS + 100)
    bench.ask(ids(400, 2), 8)
    bench.run()
    bench.scheduler.round()
    assert bench.streams.shape
    bench.pool.make_room(1024)
    assert bench.streams.shape
    bench.pool.make_room(2048)
    assert bench.streams.shape is None
    bench.close()


def test_larger_models_gain_later() -> None:
    """A cell's mask costs a head the same, and a token takes the arithmetic of all weights."""
    tiny = ModelInfo.from_gguf(TINY)
    llama_8b = tiny.model_copy(
        update={"n_embd": 4096, "head_dim": 128, "n_head": 32, "n_head_kv": 8, "n_ff": 14336}
    )
    assert worth_cells(tiny) < WORTH_CELLS
    assert 6000 < worth_cells(llama_8b) < 8000
