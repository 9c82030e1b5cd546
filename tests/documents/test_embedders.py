"""Embedders: the packaged model, one of the user's, and vectors that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from longctx.documents import SentenceTransformersEmbedder
from longctx.documents import embedders as module
from longctx.documents import vectors as vectors_module
from longctx.documents.embedders import as_embedder
from longctx.documents.vectors import VectorStore
from longctx.errors import MissingExtraError, RequestError
from longctx.protocols import Embedder

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


def test_vectors_are_kept_by_content(tmp_path):
    """The same texts of the same model are found; others, in other cuts or order, are not."""
    store = VectorStore(tmp_path, "model")
    rows = np.eye(2, dtype=np.float32)
    store.save(["a", "b"], rows)
    np.testing.assert_array_equal(store.load(["a", "b"]), rows)
    for texts in (["b", "a"], ["a"], ["ab"], ["a", "b", ""]):
        assert store.load(texts) is None
    assert VectorStore(tmp_path, "another").load(["a", "b"]) is None


def test_damaged_vectors_are_computed_again(tmp_path):
    """Half a file, or another array, is no hit."""
    store = VectorStore(tmp_path, "model")
    store.save(["a"], np.ones((1, 2), dtype=np.float32))
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:40])
    assert store.load(["a"]) is None
    np.save(path, np.ones((5, 2), dtype=np.float32))
    assert store.load(["a"]) is None


def test_old_vectors_make_way(tmp_path, monkeypatch):
    """The least recently used go first."""
    monkeypatch.setattr(vectors_module, "MAX_BYTES", 600)
    store = VectorStore(tmp_path, "model")
    for text in "abc":
        store.save([text], np.ones((1, 32), dtype=np.float32))
    assert store.load(["a"]) is None
    assert store.load(["c"]) is not None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    """Vectors are an economy: without a place for them the work goes on."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = VectorStore(blocked / "folder", "model")
    store.save(["a"], np.ones((1, 2), dtype=np.float32))
    assert store.load(["a"]) is None
