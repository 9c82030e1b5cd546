"""Embeddings kept on disk by the content that they stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx.errors import RequestError
from longctx.files import hash_parts, replacing, touch, trim_folder

MAX_BYTES = 1 << 30
_SUFFIX = ".npy"


class VectorStore:
    """A folder with one array for each batch of texts that was embedded together.

    Arrays are named by a SHA-256 of the embedder's identity and the texts, appear whole or not
    at all, and the least recently used go when together they pass ``MAX_BYTES``. A folder that
    cannot be written keeps nothing: the vectors are computed again.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def load(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """float32[len(texts), dim] as it was saved; None where it was not, or is damaged."""
        path = self._path(texts)
        try:
            vectors = np.load(path, allow_pickle=False)
            touch(path)
        except (OSError, ValueError, EOFError):
            return None
        if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.dtype != np.float32:
            return None
        return np.asarray(vectors, dtype=np.float32)

    def save(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of some texts."""
        path = self._path(texts)
        with contextlib.suppress(OSError, RequestError):
            with replacing(path, parents=True) as part, part.open("wb") as file:
                np.save(file, vectors, allow_pickle=False)
            trim_folder(self._folder, _SUFFIX, MAX_BYTES, keep=path)

    def _path(self, texts: Sequence[str]) -> Path:
        encoded = [text.encode() for text in texts]
        parts = [self._identity.encode(), *(b"%d\n" % len(data) + data for data in encoded)]
        return self._folder / f"{hash_parts(parts)[:32]}{_SUFFIX}"
