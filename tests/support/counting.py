"""What is tokenised, and how often: a model and a vocabulary that note it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longctx._native import Model, TokenAttr
from longctx.protocols import ChatModel
from longctx.stream import Stream
from longctx.types import Completion, Messages, ToolSchema


class CountingVocabulary:
    """A vocabulary that keeps every text it is given to encode."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.encoded: list[str] = []
        self.n_vocab, self.bos, self.eos = model.n_vocab, model.bos, model.eos
        self.adds_bos = model.adds_bos

    def token_text(self, token: int) -> bytes:
        """The model's."""
        return self._model.token_text(token)

    def token_attr(self, token: int) -> TokenAttr:
        """The model's."""
        return self._model.token_attr(token)

    def tokens_with(self, attributes: TokenAttr) -> list[int]:
        """The model's."""
        return self._model.tokens_with(attributes)

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """The model's, and noted."""
        self.encoded.append(text)
        return self._model.encode(text, add_special=add_special, parse_special=parse_special)

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """The model's."""
        return self._model.decode_bytes(ids, special=special)


class MeteredModel:
    """A chat model that knows no prompts, and notes each text and conversation it counts."""

    def __init__(self, llm: ChatModel) -> None:
        self._llm = llm
        self.texts: list[str] = []
        self.conversations: list[Messages] = []

    @property
    def target_ctx(self) -> int:
        """The model's."""
        return self._llm.target_ctx

    @property
    def reserve_output(self) -> int:
        """The model's."""
        return self._llm.reserve_output

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """The model's, and noted."""
        if isinstance(text, str):
            self.texts.append(text)
        else:
            self.conversations.append(text)
        return self._llm.count(text, tools)

    def chat(self, messages: Messages, **options: Any) -> Completion:
        """The model's."""
        return self._llm.chat(messages, **options)

    def stream_chat(self, messages: Messages, **options: Any) -> Stream:
        """The model's."""
        return self._llm.stream_chat(messages, **options)
