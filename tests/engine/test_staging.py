"""Prompts that are prefilled apart: where, when, and what becomes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from longctx import ModelInfo, plan_context
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.cache.snapshot import snapshot_key
from longctx.channel import Channel
from longctx.engine import GenerationSettings, Outcome, Writing
from longctx.engine.common import CommonContexts
from longctx.engine.pool import SessionPool
from longctx.engine.scheduler import Scheduler
from longctx.engine.staging import CELLS, WORTH_CELLS, WORTH_TOKENS, Staging
from longctx.engine.store import SnapshotStore
from longctx.grammar import TokenTable
from longctx.stream import Event
from longctx.types import Chunk
from tests.models import TINY
from tests.support.thorough import quick

GIB = 1 << 30


def no_text(_text: str, _at_start: bool) -> list[int]:
    """These sessions are fed ids."""
    raise AssertionError


def ids(n: int, first: int) -> list[int]:
    """A text of its own."""
    return [(first * 31 + i * i * 7) % 200 + 10 for i in range(n)]


@dataclass
class Bench:
    """An engine without its thread, a round at a time."""

    n_ctx: int = 4096
    limit_bytes: int = GIB
    cache_dir: Path | None = None
    method: str = "self-extend"
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    channels: list[Channel[Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        info = ModelInfo.from_gguf(TINY)
        # On a GPU nothing is prefilled apart.
        plan = plan_context(info, self.n_ctx, method=self.method, reserve_output=16, n_gpu_layers=0)
        self.backend = LlamaCppBackend(info, plan, n_threads=1)
        self.rotator, self.common = KeyRotator(self.backend), CommonContexts(self.backend)
        self.store = None
        if self.cache_dir is not None:
            self.store = SnapshotStore(self.cache_dir, snapshot_key(self.backend), n_ctx=self.n_ctx)
        self.pool = SessionPool(
            self.new, self.common,
            cost_bytes=lambda n: n, limit_bytes=self.limit_bytes, store=self.store,
        )  # fmt: skip
        self.staging = Staging(
            self.backend, self.common, cost_bytes=lambda n: n, has_room=self.pool.memory.has_room
        )
        self.tokens = TokenTable(self.backend.model)
        self.scheduler = Scheduler(
            self.backend, self.backend.model, self.tokens, self.pool, self.staging
        )

    def new(self) -> Session:
        """As the engine opens them."""
        return Session(self.backend, self.rotator, no_text, owner=self.pool, contexts=self.common)

    def ask(self, prompt: list[int], n_tokens: int) -> Writing:
        """Add an answer; its outcome comes under its number."""
        number = len(self.channels)

        def finish(outcome: Outcome) -> Chunk:
            self.outcomes[number] = outcome
            return Chunk()

        self.channels.append(Channel())
        settings = GenerationSettings(max_tokens=n_tokens, stop_on_repetition=False)
        writing = Writing(prompt, settings, self.channels[-1], finish)
        self.scheduler.add(writing)
        return writing

    def run(self) -> None:
        """To the last token."""
        while self.scheduler.round():
            pass

    def close(self) -> None:
        """Free the model."""
        self.pool.close(save=False)
        self.common.close()
        self.staging.close()
        self.tokens.close()
        self.backend.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """4,096 cells, a third of them taken by an answer under way."""
    bench = Bench()
    yield bench
    bench.close()


def is_apart(bench: Bench, writing: Writing) -> bool:
    """Whether it is being prefilled apart."""
    return writing.session is not None and bench.staging.holds(writing.session)


def test_a_prompt_is_prefilled_apart_and_joins_the_others(bench: Bench) -> None:
    """Greedy answers are what they are alone; nothing is left behind."""
    prompts = [ids(WORTH_CELLS + 200, 1), ids(400, 2), ids(300, 3), ids(WORTH_TOKENS - 1, 4)]
    alone = []
    for prompt in prompts:
        other = Bench()
        other.ask(prompt, 24)
        other.run()
        assert other.staging.n_bytes == 0  # nobody would have slowed it
        alone.append(other.outcomes[0].ids)
        other.close()
    first = bench.ask(prompts[0], 24)
    while first.n_pending or first.session is None:
        bench.scheduler.round()
    rest = [bench.ask(prompt, 24) for prompt in prompts[1:]]
    seen: set[int] = set()
    while bench.scheduler.round():
        seen |= {i for i, writing in enumerate(rest) if is_apart(bench, writing)}
        assert not is_apart(bench, first)
    assert seen == {0, 1}, "the short prompt is prefilled in place"
    assert bench.staging.n_bytes == CELLS
    assert [bench.outcomes[i].ids for i in range(4)] == alone
    assert [bench.outcomes[i].usage.prefilled_tokens for i in range(4)] == [*map(len, prompts)]
    bench.scheduler.round()
    assert not any(bench.staging.holds(session) for session in bench.pool.sessions)


def test_what_was_prefilled_apart_is_cached(bench: Bench) -> None:
    """The next turn prefills only what is new."""
    bench.ask(ids(WORTH_CELLS + 200, 1), 8)
    bench.run()
    bench.ask(ids(400, 2), 8)
    bench.run()
    assert bench.staging.n_bytes
    answer = list(bench.outcomes[1].ids)
    bench.ask([*ids(400, 2), *answer, *ids(20, 5)], 8)
    bench.run()
    assert bench.outcomes[2].usage.cached_tokens >= 400 + len(answer) - 1


def test_who_finds_no_room_there_waits_for_it(bench: Bench) -> None:
    """More prompts than it has sequences and cells, one of them longer than it is."""
    n_long = CELLS + 100
    prompts = [ids(WORTH_CELLS + 100, 1), *(ids(900 - 100 * i, 2 + i) for i in range(5))]
    for prompt in prompts:
        bench.ask(prompt, 8)
    bench.ask(ids(n_long, 9), 8)
    bench.run()
    assert [len(outcome.ids) for outcome in bench.outcomes.values()] == [8] * 7


def test_one_that_is_given_up_while_it_is_apart_makes_way(bench: Bench) -> None:
    """The next one finds the room again."""
    bench.ask(ids(WORTH_CELLS + 100, 1), 200)
    while len(bench.pool.sessions) == 0 or bench.pool.sessions[0].n_tokens <= WORTH_CELLS + 100:
        bench.scheduler.round()
    for n in range(2, 6):
        writing = bench.ask(ids(1500, n), 8)
        while not is_apart(bench, writing):
            bench.scheduler.round()
        assert writing.n_pending
        bench.channels[-1].cancel()
        bench.scheduler.round()
    bench.ask(ids(1500, 7), 8)
    bench.run()
    assert len(bench.outcomes) == 2


@pytest.mark.parametrize("seed", quick(range(3), 0))
def test_prompts_come_and_are_given_up_while_all_cells_are_taken(seed: int) -> None:
    """What a prompt that was given up leaves there makes way, and each answer is whole."""
    draw = random.Random(seed)
    bench = Bench(n_ctx=2048, limit_bytes=2048 + CELLS)
    given_up, asked = 0, 0
    first = bench.ask(ids(WORTH_CELLS, 1), 300)
    under_way = [first]
    while asked < 16 or bench.scheduler.round():
        bench.scheduler.round()
        if asked < 16 and draw.random() < 0.5:
            asked += 1
            under_way.append(bench.ask(ids(draw.randrange(130, 700), 2 + asked), 40))
        for number, writing in enumerate(under_way):
            if number and is_apart(bench, writing) and draw.random() < 0.2:
                given_up += not writing.is_cancelled
                bench.channels[number].cancel()
    assert given_up
    assert len(bench.outcomes) == 17 - given_up
    assert all(session.is_open for session in bench.pool.sessions)
    bench.close()


def test_without_memory_for_it_prompts_are_prefilled_in_place() -> None:
    """The plan's limit holds for it as for everything."""
    bench = Bench(limit_bytes=4096 + CELLS - 1)
    bench.ask(ids(WORTH_CELLS + 100, 1), 8)
    bench.run()
    bench.ask(ids(400, 2), 8)
    bench.run()
    assert bench.staging.n_bytes == 0
    assert len(bench.outcomes) == 2
    bench.close()
