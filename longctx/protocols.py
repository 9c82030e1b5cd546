"""What the upper rooms know of the lower ones: structural types, no code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from longctx.options import ChatOptions
from longctx.prompt import Prompt
from longctx.stream import Stream
from longctx.types import (
    Completion,
    Composed,
    Messages,
    ProgressCallback,
    ToolSchema,
)


class Tokenizer(Protocol):
    """Text to token ids and back, with special tokens off unless asked for."""

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Tokenise. ``parse_special`` turns text such as ``<|im_end|>`` into its control token."""

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """Return the bytes that the tokens stand for; ``special`` renders control tokens too."""


@runtime_checkable
class Embedder(Protocol):
    """Text to vectors."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32[len(texts), dim], each row of length 1."""


class ChatModel(Protocol):
    """What documents and agents need of a language model.

    One that is also a :class:`~longctx.prompt.PromptingModel` is asked with the prompts that it
    counted; any other gets messages.
    """

    @property
    def target_ctx(self) -> int:
        """Largest window in tokens that the model may grow to."""

    @property
    def reserve_output(self) -> int:
        """Tokens that must be free when an answer begins that names no ``max_tokens``."""

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Exact tokens of a text, or of what :meth:`chat` would prefill."""

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation."""

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Answer a conversation piece by piece; the last chunk carries the result."""


@runtime_checkable
class BatchChatModel(Protocol):
    """A chat model that can answer several conversations at once."""

    def chat_batch(
        self, conversations: Sequence[Messages], **options: Unpack[ChatOptions]
    ) -> list[Completion]:
        """Answer several conversations, in their order."""


@runtime_checkable
class ComposingModel(Protocol):
    """A chat model that can put prompts together from passages cached alone, and compress them."""

    def prompt(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        compress: Sequence[tuple[str, float]] = (),
    ) -> Prompt:
        """Count a conversation, of which passages may stand compressed, each to its share."""

    def compose(
        self,
        messages: Messages,
        passages: Sequence[str],
        *,
        recompute: int = 16,
        on_progress: ProgressCallback | None = None,
    ) -> Composed:
        """Bring the cache to where all passages of a conversation stand in it."""
