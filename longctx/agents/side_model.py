"""The model as policies ask it, for a summary: beside the conversation, and no longer than it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import Unpack

from longctx.agents.cancelling import Cancellation
from longctx.options import ChatOptions
from longctx.prompt import Prompt, prompt_of
from longctx.protocols import ChatModel
from longctx.stream import Stream
from longctx.types import Completion, Messages, ToolSchema


class SideModel:
    """A model whose answers end when the run does. What else it can do is its own.

    Args:
        llm: the model.
        cancellation: of the run.

    Attributes:
        tokens: what its answers have prefilled and written.
    """

    def __init__(self, llm: ChatModel, cancellation: Cancellation) -> None:
        self._llm = llm
        self._cancellation = cancellation
        self.tokens = 0

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
        usage = completion.usage
        self.tokens += usage.prefilled_tokens + usage.completion_tokens
        return completion

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Of the model."""
        return self._llm.stream_chat(messages, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)
