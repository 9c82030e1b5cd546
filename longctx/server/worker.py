"""One answer at a time, in the order they were asked for; how many may wait is bounded.

llama.cpp decodes one text at a time here, so the model has one thread. A reader who is slow, or
gone, never holds it: answers cross to the event loop as they come, and a cancelled one ends at
its next token or prefilled batch, or never begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from longctx.server.errors import ApiError, queue_full, timed_out
from longctx.types import Chunk, Completion, Progress, ProgressCallback

Event: TypeAlias = Chunk | Progress
Start: TypeAlias = Callable[[ProgressCallback], Iterator[Chunk]]
"""Checks a request and returns its answer as a stream that has not begun."""


class _Cancelled(Exception):
    """Ends a stream from inside, between two batches or tokens."""


class Job:
    """One answer: asked for in the event loop, written by the model's thread."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._cancelled = threading.Event()
        self._timeout_s = timeout_s
        self._created = time.monotonic()
        self.future: Future[None] | None = None
        self.waited_s = 0.0
        """Seconds it stood in the queue."""

    async def events(self) -> AsyncIterator[Event]:
        """Progress and chunks as they come; the last chunk carries the result.

        Raises:
            ApiError: its time is up (504).
            Exception: whatever the model raised.
        """
        while True:
            left_s = self._created + self._timeout_s - time.monotonic()
            try:
                event = await asyncio.wait_for(self._events.get(), max(0.0, left_s))
            except asyncio.TimeoutError:
                self.cancel()
                raise timed_out(self._timeout_s, "ask for fewer max_tokens") from None
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, Chunk) and event.result is not None:
                return

    async def result(self) -> Completion:
        """Wait for the whole answer; raises as :meth:`events`."""
        async for event in self.events():
            if isinstance(event, Chunk) and event.result is not None:
                return event.result
        raise AssertionError("a stream ends with its result")

    def cancel(self) -> None:
        """Give the answer up; harmless when it is done."""
        self._cancelled.set()
        if self.future is not None:
            self.future.cancel()

    def end(self, error: Exception) -> None:
        """Give the answer up and let its reader know why."""
        self.cancel()
        self._events.put_nowait(error)

    def progress(self, progress: Progress) -> None:
        """Called by the model after each prefilled batch."""
        self._put(progress)

    def run(self, chunks: Iterator[Chunk]) -> None:
        """Read a stream in this thread, to its end or until it is cancelled."""
        self.waited_s = time.monotonic() - self._created
        try:
            for chunk in chunks:
                self._put(chunk)
        except _Cancelled:
            pass
        except Exception as error:
            self._tell(error)
        finally:
            if isinstance(chunks, Generator):
                chunks.close()

    def _put(self, event: Event) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        self._tell(event)

    def _tell(self, event: Event | Exception) -> None:
        # The loop may have been closed under an answer that nobody waits for any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


class ModelWorker:
    """The model's thread and the queue before it.

    Args:
        max_waiting: answers that may wait for the one under way.
        timeout_s: time of one answer, its wait included.
    """

    def __init__(self, *, max_waiting: int, timeout_s: float) -> None:
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="longctx-model")
        self._jobs: set[Job] = set()
        self._mean_s = 1.0

    def __len__(self) -> int:
        """Answers under way and waiting."""
        return len(self._jobs)

    async def submit(self, start: Start) -> Job:
        """Check a request at once, and queue its answer.

        Raises:
            ApiError: the queue is full (429, with ``Retry-After``).
            LongCtxError: ``start`` refused the request.
        """
        if len(self._jobs) > self._max_waiting:
            retry_s = max(1, math.ceil(self._mean_s))
            raise queue_full(len(self._jobs) - 1, self._max_waiting, retry_s=retry_s)
        job = Job(self._timeout_s)
        self._jobs.add(job)
        try:
            chunks = await asyncio.to_thread(start, job.progress)
            job.future = self._thread.submit(self._run, job, chunks)
        except BaseException:
            self._jobs.discard(job)
            raise
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        return job

    def end_all(self) -> None:
        """Tell all who have no answer yet that they get none (503)."""
        for job in tuple(self._jobs):
            job.end(
                ApiError(
                    503,
                    "the server stops, and this answer was not complete in time; ask again when "
                    "it runs, or stop it with a longer --grace",
                    code="shutting_down",
                )
            )

    async def close(self) -> None:
        """Give up what waits, and wait for the model's thread to end."""
        for job in tuple(self._jobs):
            job.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    def _run(self, job: Job, chunks: Iterator[Chunk]) -> None:
        started = time.monotonic()
        try:
            job.run(chunks)
        finally:
            self._mean_s += 0.3 * (time.monotonic() - started - self._mean_s)
