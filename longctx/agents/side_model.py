"""The model as policies ask it, for a summary: beside the conversation, and no longer than it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from typing_extensions import Unpack

from longctx.agents.cancelling import Cancellation
from longctx.options import ChatOptions
from longctx.prompt import Prompt, prompt_of
from longctx.protocols import ChatModel
from longctx.stream import Stream
from longctx.types import Completion, Messages, ToolSchema, Usage


class Spent:
    """Tokens that were prefilled and written beside a run's steps, by any thread."""

    def __init__(self) -> None:
        self._tokens = 0
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        """All of them."""
        return self._tokens

    def add(self, usage: Usage) -> None:
        """Of an answer."""
        with self._lock:
            self._tokens += usage.prefilled_tokens + usage.completion_tokens


class SideModel:
    """A model whose answers end when the run does. What else it can do is its own.

    Args:
        llm: the model.
        cancellation: of the run.
        spent: counts what its answers prefill and write, where there is a budget.
    """

    def __init__(
        self, llm: ChatModel, cancellation: Cancellation, spent: Spent | None = None
    ) -> None:
        self._llm = llm
        self._cancellation = cancellation
        self._spent = spent or Spent()

    @property
    def target_ctx(self) -> int:
        """Of the model."""
        return self._llm.target_ctx

    @property
    def reserve_output(self) -> int:
        """Of the model."""
        return self._llm.reserve_output

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Of the model."""
        return self._llm.count(text, tools)

    def prompt(self, messages: Messages, tools: Sequence[ToolSchema] | None = None) -> Prompt:
        """Of the model, or its count."""
        return prompt_of(self._llm, messages, tools)

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer, unless the run ends.

        Raises:
            RunStopped: it has.
        """
        self._cancellation.check()
        with (
            self.stream_chat(messages, **options) as stream,
            self._cancellation.wakes(stream.close),
        ):
            for _ in stream:
                self._cancellation.check()
            self._cancellation.check()
            completion = stream.result
        self._spent.add(completion.usage)
        return completion

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Of the model."""
        return self._llm.stream_chat(messages, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)
