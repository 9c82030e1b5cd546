"""Embeddings kept on disk by the content that they stand for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 1 << 30


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
            os.utime(path)
        except (OSError, ValueError, EOFError):
            return None
        if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.dtype != np.float32:
            return None
        return np.asarray(vectors, dtype=np.float32)

    def save(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of some texts."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self._folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, vectors, allow_pickle=False)
                os.replace(part, self._path(texts))
            finally:
                Path(part).unlink(missing_ok=True)
            self._trim()

    def _path(self, texts: Sequence[str]) -> Path:
        digest = hashlib.sha256(self._identity.encode())
        for text in texts:
            data = text.encode()
            digest.update(b"%d\n" % len(data) + data)
        return self._folder / f"{digest.hexdigest()[:32]}.npy"

    def _trim(self) -> None:
        kept = sorted(
            ((p.stat(), p) for p in self._folder.glob("*.npy")), key=lambda f: -f[0].st_mtime
        )
        total = 0
        for stat, path in kept:
            total += stat.st_size
            if total > MAX_BYTES:
                path.unlink(missing_ok=True)
