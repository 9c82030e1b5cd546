"""Tokens to text while they come, whole characters only."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from longctx.protocols import Tokenizer


class TextStream:
    """Decodes ids piece by piece; a character whose bytes span tokens waits for its last.

    Args:
        tokenizer: whose ids they are.
        special: also show control tokens.
    """

    def __init__(self, tokenizer: Tokenizer, *, special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: Sequence[int]) -> str:
        """Return the text that these ids complete; empty while a character is incomplete."""
        return self._decoder.decode(self._tokenizer.decode_bytes(ids, special=self._special))

    def flush(self) -> str:
        """End the stream: U+FFFD where it broke off inside a character, else nothing."""
        return self._decoder.decode(b"", final=True)
