"""What goes wrong with one answer ends that answer, and no other."""

from __future__ import annotations

import pytest

from longctx import BackendError, ModelInfo, plan_context
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.channel import Channel
from longctx.engine import GenerationSettings, Outcome, Writing
from longctx.engine.common import CommonContexts
from longctx.engine.kv_streams import KVStreams
from longctx.engine.pool import SessionPool
from longctx.engine.scheduler import Scheduler
from longctx.grammar import TokenTable
from longctx.stream import Event
from longctx.types import Chunk
from tests.models import TINY


def no_text(_text: str, _at_start: bool) -> list[int]:
    """These sessions are fed ids."""
    raise AssertionError


def read_all(channel: Channel[Event]) -> None:
    """Until it fails."""
    while True:
        channel.receive()


def test_one_that_loses_its_cache() -> None:
    """It is told; the one beside it is written to its end, and a later one begins."""
    info = ModelInfo.from_gguf(TINY)
    plan = plan_context(info, 2048, method="self-extend", reserve_output=16)
    backend = LlamaCppBackend(info, plan, n_threads=1)
    rotator, common = KeyRotator(backend), CommonContexts(backend)

    def new() -> Session:
        return Session(backend, rotator, no_text, owner=pool, contexts=common)

    pool = SessionPool(new, common, cost_bytes=lambda n: n, limit_bytes=1 << 30, store=None)
    streams = KVStreams(backend, common, pool.memory)
    scheduler = Scheduler(backend, backend.model, TokenTable(backend.model), pool, streams)
    done: list[Outcome] = []

    def asked(first: int) -> tuple[Writing, Channel[Event]]:
        def finish(outcome: Outcome) -> Chunk:
            done.append(outcome)
            return Chunk()

        channel: Channel[Event] = Channel()
        ids = [first + i % 50 for i in range(40)]
        writing = Writing(ids, GenerationSettings(max_tokens=12), channel, finish)
        scheduler.add(writing)
        return writing, channel

    lost, told = asked(20)
    asked(90)
    scheduler.round()
    scheduler.round()
    assert lost.session is not None
    lost.session.close()
    while scheduler.round():
        pass
    with pytest.raises(BackendError, match="closed"):
        read_all(told)
    assert len(done) == 1
    asked(20)
    while scheduler.round():
        pass
    assert len(done) == 2
    assert all(session.is_open for session in pool.sessions)
    pool.close(save=False)
    common.close()
    backend.close()
