"""Embedders: the packaged model, one of the user's, and vectors that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from longctx.documents import SentenceTransformersEmbedder
from longctx.errors import MissingExtraError, RequestError
from longctx.protocols import Embedder
from longctx.search import embedders as module
from longctx.search import vectors as vectors_module
from longctx.search.embedders import as_embedder, kept_or_computed
from longctx.search.vectors import VectorCache, VectorsInMemory

TEXTS = ["The cat sleeps.", "A kitten naps.", "Interest rates rose."]


def test_the_packaged_model_works_offline_and_is_asked_once(tmp_path: Path, monkeypatch):
    """Like texts have like vectors; a second embedder reads them and loads no model."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    first = SentenceTransformersEmbedder(cache_dir=tmp_path).embed(TEXTS)
    assert first.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert first[0] @ first[1] > first[0] @ first[2] + 0.2
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    second = SentenceTransformersEmbedder(cache_dir=tmp_path).embed(TEXTS)
    np.testing.assert_array_equal(first, second)
    # Other texts need the model, which is out of reach now.
    with pytest.raises(MissingExtraError, match="sentence-transformers"):
        SentenceTransformersEmbedder(cache_dir=tmp_path).embed(["new"])


def test_what_a_user_may_give():
    """A name, a folder, a function, a model with encode, an Embedder; nothing is loaded yet."""

    class Model:
        """As sentence-transformers': callable, but not with texts."""

        def encode(self, texts):
            return np.ones((len(texts), 2))

        def __call__(self, tensors):
            raise AssertionError("this takes tensors")

    function = as_embedder(lambda texts: [[3.0, 4.0] for _ in texts])
    assert function.embed(["a"]).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert as_embedder(Model()).embed(["a", "b"]).shape == (2, 2)
    assert as_embedder(function) is function
    for name in (None, "some/model", Path("folder")):
        assert isinstance(as_embedder(name), Embedder)


@pytest.mark.parametrize("embedder", [7, object(), ["name"]])
def test_what_is_no_embedder(embedder):
    """The message lists what is."""
    with pytest.raises(RequestError, match="sentence-transformers"):
        as_embedder(embedder)


@pytest.mark.parametrize(
    "returned", [[[1.0, 2.0]], [1.0, 2.0], None, [["a"], ["b"]], [[float("nan")], [1.0]]]
)
def test_nonsense_from_a_function_is_refused(returned):
    """Two texts need two rows of finite numbers."""
    with pytest.raises(RequestError, match="embedder"):
        as_embedder(lambda texts: returned).embed(["a", "b"])


def test_a_folder_that_is_no_model(tmp_path):
    """Whatever the library says about it, it is one of our errors."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match="cannot be loaded"):
        SentenceTransformersEmbedder(tmp_path, cache_dir=tmp_path / "cache").embed(["a"])


def test_missing_packaged_model_names_the_extra(monkeypatch):
    """Only when it is needed."""
    embedder = as_embedder(None)
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"longctx-sdk\[rag\]"):
        embedder.embed(["a"])


def test_vectors_are_kept_by_content(tmp_path: Path):
    """Each text of the same model is found in any company; another model's is not."""
    store = VectorCache(tmp_path, "model")
    rows = np.eye(2, dtype=np.float32)
    store.save(["a", "b"], rows)
    again = VectorCache(tmp_path, "model").load(["b", "ab", "a", ""])
    np.testing.assert_array_equal([again[0], again[2]], rows[::-1])
    assert again[1] is again[3] is None
    assert VectorCache(tmp_path, "another").load(["a", "b"]) == [None, None]


def test_only_what_is_not_kept_is_computed():
    """A text that comes twice is computed once; rows stand in the order of the texts."""
    asked: list[str] = []

    def compute(texts):
        asked.extend(texts)
        return np.asarray([[float(len(t)), 1.0] for t in texts], dtype=np.float32)

    store = VectorsInMemory()
    kept_or_computed(store, ["a"], compute)
    rows = kept_or_computed(store, ["bb", "a", "bb", "ccc"], compute)
    assert asked == ["a", "bb", "ccc"]
    assert rows[:, 0].tolist() == [2, 1, 2, 3]


def test_a_damaged_cache_is_done_without(tmp_path: Path):
    """What is no cache is left as it is, and the vectors are computed again."""
    (tmp_path / "vectors.sqlite").write_bytes(b"no database " * 100)
    store = VectorCache(tmp_path, "model")
    store.save(["a"], np.ones((1, 2), dtype=np.float32))
    assert store.load(["a"]) == [None]


def test_old_vectors_make_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The least recently used go first, and the file stays bounded."""
    monkeypatch.setattr(vectors_module, "MAX_BYTES", 100_000)
    store = VectorCache(tmp_path, "model")
    for n in range(100):
        store.save([str(n)], np.ones((1, 512), dtype=np.float32))
    kept = [n for n in range(100) if store.load([str(n)])[0] is not None]
    assert kept == list(range(kept[0], 100))
    assert 10 < len(kept) < 50


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path):
    """Vectors are an economy: without a place for them the work goes on."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = VectorCache(blocked / "folder", "model")
    store.save(["a"], np.ones((1, 2), dtype=np.float32))
    assert store.load(["a"]) == [None]
