"""What grammars must know of a model: the bytes of its tokens, and which of them end an answer."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longctx._native import Model, guidance_tokenizer
from longctx.errors import BackendError, RequestError
from longctx.grammar.compile import compiled

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

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
        self._beginning: dict[str, NDArray[np.uint32]] = {}

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

    def shown(self, token: int) -> str:
        """A token's text in an answer, as :meth:`text`; "" of a control token."""
        if self._model is None:
            raise BackendError("this model is closed; construct a new LongContextLLM")
        return self._model.decode_bytes([token]).decode("utf-8", "replace")

    def beginning_with(self, characters: str) -> NDArray[np.uint32]:
        """As a mask, the tokens whose text begins with one of some ASCII characters."""
        if self._model is None:
            raise BackendError("this model is closed; construct a new LongContextLLM")
        if characters not in self._beginning:
            first = [self._model.decode_bytes([token])[:1] for token in range(self.n_vocab)]
            wanted = {character.encode() for character in characters}
            is_one = np.array([byte in wanted for byte in first], np.bool_)
            bits = np.zeros((self.n_vocab + 31) // 32 * 32, np.bool_)
            bits[: self.n_vocab] = is_one
            packed = np.packbits(bits, bitorder="little").view(np.uint32)
            self._beginning[characters] = packed
        return self._beginning[characters]

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
        self._beginning.clear()
