"""Answers under way, each with its reader: how many at once, for how long, and who gave up.

The model writes them side by side in its own thread. A reader who is slow, or gone, never holds
it up: what was written waits in memory, and an answer that nobody reads any more ends at its next
token or prefilled batch.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from longctx.server.errors import ApiError, queue_full, stopping, timed_out
from longctx.server.time_limit import in_time
from longctx.stream import Event, Stream
from longctx.types import Chunk, Completion


@dataclass(frozen=True)
class Begun:
    """An answer that was accepted; ``n_prompt`` are the prompt's tokens, None where they were not
    counted."""

    stream: Stream
    n_prompt: int | None = None

    def close(self) -> None:
        """Give it up; harmless when it is done."""
        self.stream.close()


Start: TypeAlias = Callable[[], Awaitable[Begun]]
"""Checks a request and begins its answer, as soon as its model is open."""


class Job:
    """One answer, read in the event loop.

    Args:
        timeout_s: time from now to its end.
        ended: called when it is over, however it ended.

    Attributes:
        n_prompt: tokens of the prompt, None where they were not counted.
    """

    def __init__(self, timeout_s: float, ended: Callable[[Job], None]) -> None:
        self._timeout_s = timeout_s
        self._created = time.monotonic()
        self._ended = ended
        self.n_prompt: int | None = None
        self._stream: Stream | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    @property
    def age_s(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self._created

    def read(self, begun: Begun) -> None:
        """Its request was accepted: read this."""
        self._stream, self.n_prompt = begun.stream, begun.n_prompt
        # One timer for all of it: a task and a timer for each token would take longer than the
        # token's way to the client.
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._timeout_s - self.age_s, self._time_is_up)

    def _time_is_up(self) -> None:
        self.end(timed_out(self._timeout_s, "ask for fewer max_tokens"))

    async def events(self) -> AsyncIterator[Event]:
        """Progress and chunks as they come; the last chunk carries the result.

        Raises:
            ApiError: its time is up (504), or it was ended (503).
            Exception: whatever the model raised.
        """
        assert self._stream is not None  # submit_all() has given it
        while self._error is None:
            event = await self._stream.receive()
            if self._error is not None:
                break
            assert event is not None  # the chunk with the result comes before the end
            yield event
            if isinstance(event, Chunk) and event.result is not None:
                self.cancel()
                return
        raise self._error

    async def result(self) -> Completion:
        """Wait for the whole answer; raises as :meth:`events`."""
        async for event in self.events():
            if isinstance(event, Chunk) and event.result is not None:
                return event.result
        raise AssertionError("a stream ends with its result")

    def cancel(self) -> None:
        """Give the answer up; harmless when it is done."""
        if self._limit is not None:
            self._limit.cancel()
        if self._stream is not None:
            self._stream.close()
        self._ended(self)

    def end(self, error: Exception) -> None:
        """Give the answer up and let its reader know why."""
        self._error = error
        self.cancel()  # which wakes the reader


class ModelWorker:
    """The answers under way.

    Args:
        max_waiting: answers that may be asked for besides the one that has come furthest.
        timeout_s: time of one answer, its wait included.
    """

    def __init__(self, *, max_waiting: int, timeout_s: float) -> None:
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._jobs: set[Job] = set()
        self._mean_s = 1.0

    def __len__(self) -> int:
        """Answers under way and waiting."""
        return len(self._jobs)

    async def submit_all(self, starts: Sequence[Start]) -> list[Job]:
        """Check requests that belong together, and begin their answers: all of them, or none.

        Raises:
            ApiError: there are too many already (429, with ``Retry-After``), or ever (400), or
                the time is up (504).
            LongCtxError: one was refused.
        """
        jobs = self._places(len(starts))
        try:
            for job, start in zip(jobs, starts, strict=True):
                remedy = "ask again when the model is open"
                begun = await in_time(start(), self._timeout_s, remedy, passed_s=job.age_s)
                job.read(begun)
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
        return jobs

    def _places(self, n: int) -> list[Job]:
        if n > self._max_waiting + 1:
            raise ApiError(
                400,
                f"the request asks for {n} answers, and at most {self._max_waiting + 1} may be "
                "under way here; ask for fewer at a time, or start the server with a larger "
                "--max-waiting",
                code="invalid_value",
            )
        if len(self._jobs) + n > self._max_waiting + 1:
            retry_s = max(1, math.ceil(self._mean_s))
            raise queue_full(len(self._jobs) - 1, self._max_waiting, retry_s=retry_s)
        jobs = [Job(self._timeout_s, self._ended) for _ in range(n)]
        self._jobs.update(jobs)
        return jobs

    def end_all(self) -> None:
        """Tell all who have no answer yet that they get none (503)."""
        for job in tuple(self._jobs):
            job.end(stopping())

    def close(self) -> None:
        """Give up what is under way."""
        for job in tuple(self._jobs):
            job.cancel()

    def _ended(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.discard(job)
            self._mean_s += 0.3 * (job.age_s - self._mean_s)
