"""The threads of what is done beside the large models, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from longctx.server.errors import queue_full, stopping
from longctx.server.time_limit import in_time

BATCH = 32
"""Texts at a time: between batches it notices that its client is gone, or its time is up."""
T = TypeVar("T")


class SideThread:
    """Requests take turns step by step, and how many wait is bounded.

    Args:
        max_waiting: requests that may wait for those under way.
        timeout_s: time of one request.
        n_threads: steps that are done at once.
        remedy: what a client may do whose time was up.
    """

    def __init__(
        self,
        *,
        max_waiting: int,
        timeout_s: float,
        n_threads: int = 1,
        remedy: str = "send fewer texts at a time",
    ) -> None:
        self._most = max_waiting + n_threads
        self._timeout_s = timeout_s
        self._remedy = remedy
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="longctx-side")
        self._asked: set[asyncio.Future[Any]] = set()
        self._is_ending = False

    async def answer(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do the work of a request, whose steps are :meth:`run`.

        Raises:
            ApiError: the queue is full (429), the time is up (504), or the server stops (503).
        """
        if self._is_ending:
            raise stopping()
        if len(self._asked) >= self._most:
            raise queue_full(len(self._asked) - 1, self._most - 1, retry_s=1)
        asked = asyncio.ensure_future(self._in_time(work))
        self._asked.add(asked)
        try:
            return await asked
        except asyncio.CancelledError:
            if self._is_ending:
                raise stopping() from None
            raise
        finally:
            self._asked.discard(asked)

    async def run(self, do: Callable[[], T]) -> T:
        """A step of it, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, do)

    async def _in_time(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await in_time(work(), self._timeout_s, self._remedy)

    def end_all(self) -> None:
        """Tell all who have no answer yet that they get none (503)."""
        self._is_ending = True
        for asked in tuple(self._asked):
            asked.cancel()

    async def close(self) -> None:
        """Wait for the steps under way."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
