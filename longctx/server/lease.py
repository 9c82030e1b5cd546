"""A model of the pool, and who uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from longctx.options import SamplingOptions
from longctx.planner import ContextPlan
from longctx.server.errors import ApiError
from longctx.server.model_source import ModelSource
from longctx.server.relay import RelayedWindow
from longctx.server.served import ServedModel

T = TypeVar("T")
State: TypeAlias = Literal["unloaded", "loading", "loaded", "failed"]


@dataclass(frozen=True)
class Facts:
    """What is known of a model once it has been open."""

    plan: ContextPlan | RelayedWindow
    sampling: SamplingOptions


class ModelEntry:
    """One model: whether it is open, who uses it and who waits for it.

    Attributes:
        source: where it comes from.
        llm: the model while it is open.
        is_loading: it is being opened, or prepared for that.
        error: why it could not be opened the last time.
        n_bytes: what it takes while it is open.
        is_owned: whether the pool opened it, and so closes it.
        is_leaving: it is closed when nobody uses it any more, and lent to nobody until then.
        n_users: leases that were granted and not given back.
        waiting: leases that wait until it is open, or may be lent again.
        used: when it was used last, on a clock of its own kind.
        facts: None until it has been open.
    """

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.llm: ServedModel | None = None
        self.is_loading = False
        self.error: str | None = None
        self.n_bytes = 0
        self.is_owned = False
        self.is_leaving = False
        self.n_users = 0
        self.waiting: list[Lease] = []
        self.used = 0.0
        self.facts: Facts | None = None

    @property
    def state(self) -> State:
        """How it does, in the words of llama-server."""
        if self.llm is not None:
            return "loaded"
        if self.is_loading:
            return "loading"
        return "unloaded" if self.error is None else "failed"

    def opened(self, llm: ServedModel, n_bytes: int, *, is_owned: bool) -> None:
        """It is open now."""
        self.n_bytes, self.is_owned = n_bytes, is_owned
        self.facts = Facts(llm.plan, llm.sampling_defaults)
        self.llm, self.error = llm, None

    @property
    def is_lendable(self) -> bool:
        """Whether a request can have it at once."""
        return self.llm is not None and not self.is_leaving

    def grant_all(self) -> None:
        """Lend it to all who wait, if it is open."""
        if self.is_lendable:
            waiting, self.waiting = self.waiting, []
            for lease in waiting:
                lease.grant()

    def fail(self, error: ApiError) -> None:
        """Tell all who wait that they do so in vain."""
        waiting, self.waiting = self.waiting, []
        for lease in waiting:
            lease.fail(error)


class Lease:
    """What a request has of a model: the model, as soon as it is open, until it is given back.

    Args:
        entry: the model.
        given_back: called when it is, and when nobody waits for it any more.
    """

    def __init__(self, entry: ModelEntry, given_back: Callable[[], None]) -> None:
        self._entry = entry
        self._given_back = given_back
        self._ready: asyncio.Future[ServedModel] = asyncio.get_running_loop().create_future()
        self.is_released = False
        self._endings: list[Callable[[], None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether nobody need wait for it."""
        return self._ready.done()

    async def ready(self) -> ServedModel:
        """Wait until it is open.

        Raises:
            ApiError: it cannot be opened.
        """
        return await asyncio.shield(self._ready)

    async def run(
        self, work: Callable[[ServedModel], T], end: Callable[[T], None] | None = None
    ) -> T:
        """Do something with the model in a thread, once it is open. It stays open until that is
        over, even if nobody waits for it any more: a thread cannot be stopped.

        Args:
            work: what is done.
            end: called with what that gave when the lease is given back, or at once where it was:
                who left in between cannot.

        Raises:
            ApiError: it cannot be opened.
        """
        llm = await self.ready()
        self._take()
        working = asyncio.get_running_loop().run_in_executor(None, work, llm)

        def done(worked: asyncio.Future[T]) -> None:
            self._give_back()
            if end is not None and not worked.cancelled() and worked.exception() is None:
                self._endings.append(partial(end, worked.result()))
                if self.is_released:
                    self._end_all()

        working.add_done_callback(done)
        return await asyncio.shield(working)

    def grant(self) -> None:
        """It is open."""
        assert self._entry.llm is not None
        self._take()
        self._ready.set_result(self._entry.llm)

    def fail(self, error: ApiError) -> None:
        """It cannot be opened."""
        self._ready.set_exception(error)
        self._ready.exception()  # who left does not ask

    def release(self) -> None:
        """Give it back, or wait for it no more. Idempotent."""
        if self.is_released:
            return
        self.is_released = True
        self._end_all()
        if not self._ready.done():
            self._entry.waiting.remove(self)
            self._given_back()
        elif self._ready.exception() is None:
            self._give_back()

    def _end_all(self) -> None:
        while self._endings:
            self._endings.pop()()

    def _take(self) -> None:
        self._entry.n_users += 1
        self._entry.used = time.monotonic()

    def _give_back(self) -> None:
        self._entry.n_users -= 1
        self._entry.used = time.monotonic()
        self._given_back()
