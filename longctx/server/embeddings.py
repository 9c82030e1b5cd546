"""The embedder's thread, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from longctx.server.embedder import TextEmbedder
from longctx.server.errors import queue_full
from longctx.server.time_limit import in_time

_BATCH = 32  # between batches it notices that its client is gone, or its time is up
T = TypeVar("T")


class EmbeddingWorker:
    """The embedder's thread: requests take turns batch by batch, and how many wait is bounded.

    Args:
        embedder: the model.
        max_waiting: requests that may wait for the one under way.
        timeout_s: time of one request.
    """

    def __init__(self, embedder: TextEmbedder, *, max_waiting: int, timeout_s: float) -> None:
        self.embedder = embedder
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="longctx-embedder")
        self._n_asked = 0

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """Return float32[len(texts), n_dimensions], and how many tokens the texts are.

        Raises:
            ApiError: the queue is full (429), or the time is up (504).
            ContextOverflowError: a text is longer than the embedder reads.
        """
        if self._n_asked > self._max_waiting:
            raise queue_full(self._n_asked - 1, self._max_waiting, retry_s=1)
        self._n_asked += 1
        try:
            return await in_time(self._embed(texts), self._timeout_s, "send fewer texts at a time")
        finally:
            self._n_asked -= 1

    async def close(self) -> None:
        """Wait for the batch under way."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        n_tokens = sum(await self._run(self.embedder.count, texts))
        starts = range(0, len(texts), _BATCH)
        rows = [await self._run(self.embedder.embed, texts[i : i + _BATCH]) for i in starts]
        return np.concatenate(rows), n_tokens

    async def _run(self, do: Callable[[Sequence[str]], T], texts: Sequence[str]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, texts)
