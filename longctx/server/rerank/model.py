"""A cross-encoder as the server uses it: exact counts, and no text is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from longctx.documents.reranking import as_reranker, load_cross_encoder, scores_of
from longctx.errors import ContextOverflowError, RequestError
from longctx.server.embedder import model_name
from longctx.server.side_thread import BATCH, SideThread


class TextReranker:
    """How well texts answer a query, by the model's own scores; the higher, the better.

    Not thread-safe.

    Args:
        model: the folder of a ``CrossEncoder`` of sentence-transformers, or a name that it knows.

    Raises:
        RequestError: it cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, model: str | Path) -> None:
        self._model = load_cross_encoder(model)
        reranker = as_reranker(self._model)
        assert reranker is not None
        self._reranker = reranker
        self.id = model_name(model)
        if self._model.num_labels != 1:
            raise RequestError(
                f"the reranker {self.id!r} has {self._model.num_labels} scores for a text, and one "
                "is needed; take a CrossEncoder that was trained to rank"
            )
        length = self._model.max_seq_length
        # Tokenizers that know no length say 10**30.
        self.max_tokens = int(length) if length is not None and length < 10**9 else None

    def count(self, query: str, texts: Sequence[str]) -> list[int]:
        """Tokens of the query with each text, the special ones around them included.

        Raises:
            ContextOverflowError: together they are longer than the model reads.
        """
        pairs = self._model.tokenizer(
            [query] * len(texts), list(texts), truncation=False, verbose=False
        )
        counts = [len(row) for row in pairs["input_ids"]]
        for i, n in enumerate(counts):
            if self.max_tokens is not None and n > self.max_tokens:
                raise ContextOverflowError(
                    f"the query and document {i} are {n} tokens, {self.id} reads "
                    f"{self.max_tokens}: {n - self.max_tokens} too many. Split the document. "
                    "Nothing was cut.",
                    needed=n,
                    available=self.max_tokens,
                    n_ctx=self.max_tokens,
                )
        return counts

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One number for each text."""
        return [float(score) for score in scores_of(self._reranker, query, texts)]


class RerankWorker(SideThread):
    """The reranker's thread.

    Args:
        reranker: the model.
        max_waiting: requests that may wait for the one under way.
        timeout_s: time of one request.
    """

    def __init__(self, reranker: TextReranker, *, max_waiting: int, timeout_s: float) -> None:
        super().__init__(max_waiting=max_waiting, timeout_s=timeout_s)
        self.reranker = reranker

    async def rank(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """Return a score for each text, and how many tokens were read.

        Raises:
            ApiError: the queue is full (429), or the time is up (504).
            ContextOverflowError: a text is longer than the reranker reads.
        """
        return await self.answer(lambda: self._rank(query, texts))

    async def _rank(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        n_tokens = sum(await self.run(partial(self.reranker.count, query, texts)))
        scores: list[float] = []
        for i in range(0, len(texts), BATCH):
            scores += await self.run(partial(self.reranker.score, query, texts[i : i + BATCH]))
        return scores, n_tokens
