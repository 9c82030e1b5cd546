"""Token ids to text, a piece at a time, never splitting a character."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from longctx.protocols import Tokenizer


class TextStream:
    """Decodes ids as they come. Bytes that are no UTF-8 become U+FFFD.

    Example:
        >>> stream = TextStream(tokenizer)                    # doctest: +SKIP
        >>> stream.feed([first_half_of_an_emoji])             # doctest: +SKIP
        ''
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: Sequence[int]) -> str:
        """Return the text that is complete by now."""
        return self._decoder.decode(self._tokenizer.decode_bytes(ids))

    def flush(self) -> str:
        """Return what is left when no more ids come."""
        return self._decoder.decode(b"", final=True)
