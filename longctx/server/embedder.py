"""A sentence-transformers model as the server uses it: exact counts, and no text is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx.errors import ContextOverflowError
from longctx.search.embedders import load_sentence_transformer

PACKAGED = "packaged"
"""The word for the model that ships as a package."""


class TextEmbedder:
    """Texts to vectors of length 1, as they are: a prompt that a model wants is the caller's.

    Not thread-safe.

    Args:
        model: ``"packaged"`` (all-MiniLM-L6-v2, offline), a folder, or a name that
            sentence-transformers knows.

    Raises:
        DocumentError: it cannot be loaded.
        MissingExtraError: sentence-transformers, or the packaged model, is not installed.
    """

    def __init__(self, model: str | Path = PACKAGED) -> None:
        own = model != PACKAGED
        self._model = load_sentence_transformer(model if own else None)
        self.id = "all-MiniLM-L6-v2" if not own else model_name(model)
        self.n_dimensions = int(self._model.encode([" "], show_progress_bar=False).shape[1])
        length = self._model.max_seq_length
        self.max_tokens = None if length is None else int(length)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the special ones around it included.

        Raises:
            ContextOverflowError: a text is longer than the model reads.
        """
        ids = self._model.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        counts = [len(row) for row in ids]
        for i, n in enumerate(counts):
            if self.max_tokens is not None and n > self.max_tokens:
                raise ContextOverflowError(
                    f"input {i} is {n} tokens, {self.id} reads {self.max_tokens}: "
                    f"{n - self.max_tokens} too many. Split the text. Nothing was cut.",
                    needed=n,
                    available=self.max_tokens,
                    n_ctx=self.max_tokens,
                )
        return counts

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), n_dimensions], each row of length 1."""
        # An empty prompt, because None would be the model's default one.
        vectors = self._model.encode(
            list(texts), prompt="", normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


def model_name(model: str | Path) -> str:
    """What clients call it: a folder's own name; any other name as it is."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else str(model)
