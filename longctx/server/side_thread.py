"""The thread of a small model beside the large ones, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from longctx.server.errors import queue_full
from longctx.server.time_limit import in_time

BATCH = 32
"""Texts at a time: between batches it notices that its client is gone, or its time is up."""
T = TypeVar("T")


class SideThread:
    """Requests take turns batch by batch, and how many wait is bounded.

    Args:
        max_waiting: requests that may wait for the one under way.
        timeout_s: time of one request.
    """

    def __init__(self, *, max_waiting: int, timeout_s: float) -> None:
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="longctx-side")
        self._n_asked = 0

    async def answer(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do the work of a request, whose steps are :meth:`run`.

        Raises:
            ApiError: the queue is full (429), or the time is up (504).
        """
        if self._n_asked > self._max_waiting:
            raise queue_full(self._n_asked - 1, self._max_waiting, retry_s=1)
        self._n_asked += 1
        try:
            return await in_time(work(), self._timeout_s, "send fewer texts at a time")
        finally:
            self._n_asked -= 1

    async def run(self, do: Callable[[], T]) -> T:
        """A step of it, in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    async def close(self) -> None:
        """Wait for the batch under way."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
