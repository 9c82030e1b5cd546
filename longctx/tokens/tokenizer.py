"""The tokenizer of a model: llama.cpp's ids, by the fast path where that is exact."""

from __future__ import annotations

from collections.abc import Sequence

from longctx._native import Model, TokenAttr
from longctx.arguments import plain_text
from longctx.tokens.fast import FastTokenizer
from longctx.tokens.fragment_memory import FragmentMemory

FAST_CHARACTERS = 4_000
"""Texts shorter than this go to llama.cpp, which takes about a millisecond for them."""
BUILD_AFTER_CHARACTERS = 500_000
"""Characters seen before the fast path is built: building costs as much as tokenising them."""
REMEMBERED_CHARACTERS = 1_000
"""Texts of so many characters or more are remembered with their ids: the same document, or the same
result of a tool, is counted again and again."""
REMEMBERED_TOKENS = 500_000


class ModelTokenizer:
    """Satisfies :class:`longctx.protocols.Tokenizer` over a model.

    Ids are always those of llama.cpp. Not building the fast path before much text has come
    by keeps short sessions from paying for it.

    Args:
        model: the model; ``vocab_only`` is enough.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._fast: FastTokenizer | None = None
        self._fast_is_built = False
        self._seen_characters = 0
        self._remembered = FragmentMemory(REMEMBERED_TOKENS)

    @property
    def is_fast(self) -> bool:
        """Whether the fast path is built, for the texts that it is exact for."""
        return self._fast is not None

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return self._model.n_vocab

    @property
    def bos(self) -> int | None:
        """The token that begins a text, if the vocabulary has one."""
        return self._model.bos

    @property
    def eos(self) -> int | None:
        """The token that ends a text, if the vocabulary has one."""
        return self._model.eos

    @property
    def adds_bos(self) -> bool:
        """Whether the model was trained with a BOS token before every text."""
        return self._model.adds_bos

    def token_text(self, token: int) -> bytes:
        """The vocabulary's raw entry."""
        return self._model.token_text(token)

    def token_attr(self, token: int) -> TokenAttr:
        """The attributes of a token."""
        return self._model.token_attr(token)

    def tokens_with(self, attributes: TokenAttr) -> list[int]:
        """The ids of all tokens that have one of these attributes."""
        return self._model.tokens_with(attributes)

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Tokenise.

        Args:
            text: any text.
            add_special: put BOS before and EOS behind, where the model wants them.
            parse_special: turn text such as ``<|im_end|>`` into its control token.

        Raises:
            RequestError: it is no text, or holds a lone surrogate.
        """
        plain_text("text", text)
        if not add_special and not parse_special and len(text) >= FAST_CHARACTERS:
            ids = self._encode_fast(text)
            if ids is not None:
                return ids
        return self._model.encode(text, add_special=add_special, parse_special=parse_special)

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """Return the tokens' bytes; control tokens are empty unless ``special``."""
        return self._model.decode_bytes(ids, special=special)

    def encode_once(self, text: str) -> tuple[int, ...]:
        """Return the ids of plain text, which is tokenised once while it is remembered."""
        if len(plain_text("text", text)) < REMEMBERED_CHARACTERS:
            return tuple(self.encode(text))
        ids = self._remembered.get(text)
        if ids is None:
            ids = tuple(self.encode(text))
            self._remembered.put(text, ids)
        return ids

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.encode_once(text))

    def _encode_fast(self, text: str) -> list[int] | None:
        self._seen_characters += len(text)
        if not self._fast_is_built and self._seen_characters >= BUILD_AFTER_CHARACTERS:
            self._fast = FastTokenizer.for_model(self._model)
            self._fast_is_built = True
        return self._fast.encode(text) if self._fast is not None else None
