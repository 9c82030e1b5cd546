"""How far an answer has come in a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from longctx.errors import BackendError, RequestError
from longctx.grammar.compile import reason
from longctx.grammar.numbers import Place
from longctx.grammar.tokens import TokenTable

if TYPE_CHECKING:
    from longctx.grammar.grammar import Grammar


_DIGITS = "0123456789"


class GrammarMatcher:
    """A place in a grammar: what may come next, and whether that was all.

    It may be made at any moment of an answer, in the model's thread: what was written before is no
    part of it, but for what is told with :meth:`accept` or :meth:`accept_bytes`.

    ::

        matcher = GrammarMatcher(tokens, grammar)
        matcher.accept_bytes(b'{"name": ')      # written already, before the grammar was known
        while not matcher.has_ended:
            token = ...                         # drawn by matcher.mask()
            matcher.accept(token)

    Raises:
        RequestError: the grammar is malformed, or names a token that the model does not have.
        UnsupportedModelError: the vocabulary has no token that ends an answer.
    """

    def __init__(self, tokens: TokenTable, grammar: Grammar) -> None:
        self._tokens = tokens
        self._matcher = tokens.matcher(grammar)
        self._bits = np.zeros((tokens.n_vocab + 31) // 32, np.uint32)
        self._places = [Place()] if grammar.has_json else []  # behind each token

    def mask(self) -> NDArray[np.uint32]:
        """uint32[(n_vocab + 31) // 32], the bits of the tokens that may come next.

        Token ``t`` is bit ``t % 32`` of word ``t // 32``. All that end an answer are among them
        where it may end. Overwritten by the next call.

        Raises:
            RequestError: the grammar takes too much work here.
        """
        self._check_open()
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        if self._places and self._places[-1].is_long_number:
            self._end_number()
        return self._bits

    def _end_number(self) -> None:
        """Let no more digits come where the number may end, or go on otherwise.

        Whatever a grammar allows leads to an end, so what is left is as good. In free text between
        values a quotation mark may come, and in a number none.
        """
        if (self._bits & self._tokens.beginning_with('"')).any():
            return
        others = self._bits & ~self._tokens.beginning_with(_DIGITS)
        if others.any():
            self._bits[:] = others

    def _write(self, tokens: Sequence[int]) -> None:
        if self._places:
            for token in tokens:
                self._places.append(self._places[-1].after(self._tokens.shown(token)))

    def accept(self, token: int) -> None:
        """Go past a token.

        Raises:
            RequestError: the grammar does not allow it here.
        """
        self._check_open()
        self._matcher.consume_token(token)
        self._check()
        self._write([token])

    def accept_bytes(self, data: bytes) -> None:
        """Go past text that is not, or not yet, in tokens of its own, whatever tokens it is in.

        Raises:
            RequestError: the grammar does not allow it here, or no tokens can write it.
        """
        self._check_open()
        tokens = self._tokens.text_tokens(data)
        self._matcher.consume_tokens(tokens)
        self._check()
        self._write(tokens)

    def n_allowed(self, tokens: Sequence[int]) -> int:
        """How many of some tokens in a row may come next; nothing moves."""
        self._check_open()
        return self._matcher.validate_tokens(list(tokens))

    def rollback(self, n_tokens: int) -> None:
        """Take back the last tokens that were accepted.

        Raises:
            BackendError: there were fewer.
        """
        self._check_open()
        if not self._matcher.rollback(n_tokens):
            raise BackendError(reason(self._matcher.get_error()))
        if n_tokens and self._places:
            del self._places[-n_tokens:]

    @property
    def is_accepting(self) -> bool:
        """Whether the answer may end here."""
        self._check_open()
        return self._matcher.is_accepting()

    @property
    def has_ended(self) -> bool:
        """Whether the answer is whole, and nothing may follow."""
        self._check_open()
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RequestError(reason(self._matcher.get_error()))

    def _check_open(self) -> None:
        # The matcher calls llama.cpp's tokenizer, with a pointer to a vocabulary that is gone.
        if not self._tokens.is_open:
            raise BackendError("this model is closed; construct a new LongContextLLM")
