"""What this room asks of a model: its tokens, and llama.cpp's tokenizer over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from longctx._native import TokenAttr


class Vocabulary(Protocol):
    """The part of :class:`longctx._native.Model` that needs no weights."""

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""

    @property
    def bos(self) -> int | None:
        """The token that begins a text."""

    @property
    def eos(self) -> int | None:
        """The token that ends a text."""

    @property
    def adds_bos(self) -> bool:
        """Whether the model was trained with a BOS token before every text."""

    def token_text(self, token: int) -> bytes:
        """The vocabulary's raw entry."""

    def token_attr(self, token: int) -> TokenAttr:
        """The attributes of a token."""

    def tokens_with(self, attributes: TokenAttr) -> list[int]:
        """The ids of all tokens that have one of these attributes, in their order."""

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Tokenise."""

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """Return the bytes that the tokens stand for."""
