"""Texts to vectors, in a thread of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longctx.server.embedder import TextEmbedder
from longctx.server.side_thread import BATCH, SideThread


class EmbeddingWorker(SideThread):
    """The embedder's thread.

    Args:
        embedder: the model.
        max_waiting: requests that may wait for the one under way.
        timeout_s: time of one request.
    """

    def __init__(self, embedder: TextEmbedder, *, max_waiting: int, timeout_s: float) -> None:
        super().__init__(max_waiting=max_waiting, timeout_s=timeout_s)
        self.embedder = embedder

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """Return float32[len(texts), n_dimensions], and how many tokens the texts are.

        Raises:
            ApiError: the queue is full (429), or the time is up (504).
            ContextOverflowError: a text is longer than the embedder reads.
        """
        return await self.answer(lambda: self._embed(texts))

    async def _embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        n_tokens = sum(await self.run(partial(self.embedder.count, texts)))
        rows = [
            await self.run(partial(self.embedder.embed, texts[i : i + BATCH]))
            for i in range(0, len(texts), BATCH)
        ]
        return np.concatenate(rows), n_tokens
