"""The model's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from longctx._native import Model


class ModelTokenizer:
    """Satisfies :class:`longctx.protocols.Tokenizer` over a loaded model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return self._model.n_vocab

    def encode(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Tokenise; see :meth:`longctx.protocols.Tokenizer.encode`."""
        return self._model.encode(text, add_special=add_special, parse_special=parse_special)

    def decode_bytes(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """Return the bytes that the tokens stand for."""
        return self._model.decode_bytes(ids, special=special)
