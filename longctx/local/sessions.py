"""Cached texts that a caller handles: sessions by hand, saved chats, composed prompts, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx import arguments
from longctx.chat import EncodedPrompt
from longctx.engine import Session
from longctx.errors import RequestError, UnsupportedModelError
from longctx.local.loading import LoadedModel
from longctx.types import Composed, Messages, ProgressCallback, ToolSchema


class Sessions:
    """The sessions of a model, each call run in the model's thread.

    Arguments, results and errors are those of the methods of
    :class:`longctx.LongContextLLM` that each is called by.

    Args:
        model: whose cache it is.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._engine = model.engine
        self._thread = model.thread
        self._prompts = model.prompts
        self._plan = model.plan

    def open(self, n_outputs: int | None = None) -> Session:
        """An empty session, of which the logits of so many tokens of a batch can be read."""
        if n_outputs is not None:
            n_outputs = arguments.whole(
                "n_outputs", n_outputs, least=1, most=self._plan.devices.n_batch
            )
        return self._thread.call(
            self._engine.open_session, self._prompts.part, self._thread, n_outputs
        )

    def load(self, path: str | Path) -> Session:
        """A session that was saved by hand."""
        session = self.open()
        try:
            session.load(path)
        except BaseException:
            session.close()
            raise
        return session

    def save_chat(
        self, path: str | Path, messages: Messages, tools: Sequence[ToolSchema] | None
    ) -> int:
        """Write the session that has most of a conversation; how many of its tokens."""
        ids = self._prompts.transcript(messages, tools)
        return self._thread.call(self._engine.save_text, ids, arguments.path("path", path))

    def load_chat(self, path: str | Path) -> int:
        """Take a conversation that was saved into the cache; its tokens."""
        text = self._thread.call(self._engine.load_text, arguments.path("path", path))
        self._prompts.recall(text)
        return len(text)

    def compressible(
        self, prompt: EncodedPrompt, compress: Sequence[tuple[str, float]]
    ) -> EncodedPrompt:
        """The prompt, some of whose passages may stand compressed."""
        _check_shares(compress)
        if (reason := self._engine.compression_obstacle) is not None:
            raise UnsupportedModelError(
                f"no passage can be compressed: {reason}. Leave compression out"
            )
        spans = self._engine.composer.compressible(
            prompt.ids,
            [(self._prompts.tokenize(text), share) for text, share in compress],
        )
        return replace(prompt, compressed=tuple(span for span in spans if span.share < 1))

    def compose(
        self,
        messages: Messages,
        passages: Sequence[str],
        *,
        recompute: int,
        on_progress: ProgressCallback | None,
    ) -> Composed:
        """Bring the cache to where the passages of a prompt are in it, each prefilled alone."""
        recompute = arguments.whole("recompute", recompute, least=0)
        texts = arguments.texts("passages", passages)
        prompt = self._prompts.conversation(messages)
        ids = prompt.ids
        self._plan.check_fit(len(ids))
        return self._thread.call(
            self._engine.compose,
            ids,
            [self._prompts.tokenize(text) for text in texts],
            recompute=recompute,
            compressed=prompt.compressed,
            on_progress=on_progress,
        )

    def score(
        self,
        text_or_ids: str | Sequence[int] | NDArray[np.int32],
        *,
        batch: int,
        on_progress: ProgressCallback | None,
    ) -> NDArray[np.float32]:
        """Negative log-likelihood of each token of a text given all before it."""
        batch = arguments.whole("batch", batch, least=1)
        ids = (
            self._prompts.ids(text_or_ids)
            if isinstance(text_or_ids, str)
            else self._prompts.checked(text_or_ids)
        )
        if len(ids) < 2:
            raise RequestError(f"score needs at least 2 tokens, not {len(ids)}")
        if not self._plan.is_endless:
            self._plan.check_fit(len(ids))
        return self._thread.call(self._engine.score, ids, batch=batch, on_progress=on_progress)


def _check_shares(compress: Any) -> None:
    """Refuse what are no texts with a share each."""
    if isinstance(compress, str | bytes) or not isinstance(compress, Sequence):
        raise RequestError(f"compress is {compress!r:.80}; pass pairs, such as [(text, 0.75)]")
    for pair in compress:
        if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise RequestError(f"compress has {pair!r:.80}; pass a text and a share: (text, 0.75)")
        arguments.plain_text("a text of compress", pair[0])
        arguments.real("a share of compress", pair[1], above=0, most=1)
