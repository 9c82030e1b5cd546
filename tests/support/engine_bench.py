"""The parts of an engine, without its thread: its rounds are the test's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from longctx import ModelInfo, plan_context
from longctx.backends import LlamaCppBackend
from longctx.cache import KeyRotator, Session
from longctx.cache.snapshot import snapshot_key
from longctx.channel import Channel
from longctx.engine import GenerationSettings, Outcome, Writing
from longctx.engine.common import CommonContexts
from longctx.engine.kv_streams import KVStreams
from longctx.engine.pool import SessionPool
from longctx.engine.scheduler import Scheduler
from longctx.engine.store import SnapshotStore
from longctx.grammar import TokenTable
from longctx.stream import Event
from longctx.types import Chunk
from tests.models import TINY

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
            besides_bytes=lambda: self.streams.n_bytes,
            free_besides=lambda: self.streams.close_empty(),
        )  # fmt: skip
        self.streams = KVStreams(self.backend, self.common, self.pool.memory)
        self.tokens = TokenTable(self.backend.model)
        self.scheduler = Scheduler(
            self.backend, self.backend.model, self.tokens, self.pool, self.streams
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
        self.streams.close()
        self.tokens.close()
        self.backend.close()
