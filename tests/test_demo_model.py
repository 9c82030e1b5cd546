"""The packaged model and its fast copy."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from longctx import demo_model
from longctx._native import quantize
from longctx.errors import BackendError, MissingExtraError, ModelFileError
from longctx.model_info import ModelInfo
from longctx.packaged_model import fast_copy, tiny_model
from tests.conftest import TinyGguf
from tests.models import TINY


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "longctx" / "models"


def test_the_packaged_model_is_found_without_its_package_being_imported(demo_gguf: Path) -> None:
    """It is the GGUF in the package, untouched."""
    assert demo_model() == demo_gguf


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install stands in the error."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install .longctx-sdk\[demo\]"):
        demo_model()


def test_a_copy_is_made_once_and_announced_once(tiny_gguf: TinyGguf, cache_folder: Path) -> None:
    """The second call returns the same Q8_0 file without a word; the source stays as it was."""
    source, lines = tiny_gguf(), list[str]()
    before = source.read_bytes()
    first = fast_copy(source, announce=lines.append)
    assert fast_copy(source, announce=lines.append) == first
    assert len(lines) == 1
    assert "Q8_0" in lines[0]
    assert list(cache_folder.iterdir()) == [first]
    assert ModelInfo.from_gguf(first).weights_type == "Q8_0"
    assert source.read_bytes() == before


def test_the_copy_belongs_to_the_content(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """The same bytes elsewhere share it; other bytes of the same name do not."""
    source = tiny_gguf()
    moved = tmp_path / source.name
    moved.write_bytes(source.read_bytes())
    assert fast_copy(moved) == fast_copy(source)
    moved.write_bytes(tiny_gguf(seed=7).read_bytes())
    assert fast_copy(moved) != fast_copy(source)


def test_two_at_once_leave_one_whole_file(tiny_gguf: TinyGguf, cache_folder: Path) -> None:
    """Both get a file that loads, and no partial one stays."""
    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(fast_copy, [tiny_gguf()] * 4))
    assert set(cache_folder.iterdir()) == paths
    assert ModelInfo.from_gguf(paths.pop()).n_layer


def test_failures_are_typed_and_leave_nothing(tmp_path: Path, cache_folder: Path) -> None:
    """A missing source, a broken one, a cache folder that cannot be made."""
    with pytest.raises(ModelFileError, match="no file"):
        fast_copy(tmp_path / "missing.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BackendError):
        fast_copy(broken)
    assert not list(cache_folder.iterdir())
    cache_folder.rmdir()
    cache_folder.write_text("a file in the way")
    with pytest.raises(ModelFileError, match="XDG_CACHE_HOME"):
        fast_copy(broken)


def test_the_tiny_model_is_that_of_the_tests(tmp_path: Path) -> None:
    """What ships is its Q8_0 copy, made again here, and no more than 2 MB."""
    quantize(TINY, tmp_path / "again.gguf", "q8_0")
    assert (tmp_path / "again.gguf").read_bytes() == tiny_model().read_bytes()
    assert tiny_model().stat().st_size < 2_000_000
