"""What grammars must know of a model: the bytes of its tokens, and which of them end an answer."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLTokenizer

from longctx._native import Model, guidance_tokenizer
from longctx.errors import BackendError, RequestError
from longctx.grammar.compile import compiled

if TYPE_CHECKING:
    from longctx._native.handle import NativeHandle
    from longctx.grammar.grammar import Grammar

N_KEPT = 32
"""Compiled grammars; the same schema is often asked for again."""


class TokenTable:
    """A model's vocabulary, read when the first grammar needs it, and kept.

    It lives in the model's thread. Closed, it holds nothing of the model, and matchers that were
    made of it raise.
    """

    def __init__(self, model: Model) -> None:
        self.n_vocab = model.n_vocab
        self._model: Model | None = model
        self._read: tuple[LLTokenizer, NativeHandle] | None = None
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether the vocabulary is there."""
        return self._model is not None

    def matcher(self, grammar: Grammar) -> LLMatcher:
        """A matcher at a grammar's beginning.

        Raises:
            RequestError: the grammar is malformed, or names a token that the model does not have.
            UnsupportedModelError: the vocabulary has no token that ends an answer.
            BackendError: the model is closed.
        """
        if grammar not in self._compiled:
            self._compiled[grammar] = compiled(self._tokenizer(), grammar)
            while len(self._compiled) > N_KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        return self._compiled[grammar].deep_copy()

    def text_tokens(self, data: bytes) -> list[int]:
        """Some tokens that together are this text; none of them is special.

        Raises:
            RequestError: the vocabulary has no tokens for it.
        """
        tokenizer = self._tokenizer()
        ids = tokenizer.tokenize_bytes(data)
        if tokenizer.decode_bytes(ids) != data:
            raise RequestError(f"the model has no tokens for the text {data[:40]!r}")
        return ids

    def text(self, token: int) -> str:
        """A token's text, control tokens' too; bytes that are no whole character are U+FFFD."""
        if self._model is None:
            raise BackendError("this model is closed; construct a new LongContextLLM")
        return self._model.decode_bytes([token], special=True).decode("utf-8", "replace")

    def _tokenizer(self) -> LLTokenizer:
        if self._model is None:
            raise BackendError("this model is closed; construct a new LongContextLLM")
        if self._read is None:
            self._read = guidance_tokenizer(self._model)
        return self._read[0]

    def close(self) -> None:
        """Let go of the model. Idempotent."""
        self._model = self._read = None
        self._compiled.clear()
