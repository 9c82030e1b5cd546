"""Vocabularies to test against: the demo model's, and those of llama.cpp's own tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from longctx._native import Model
from tests.support.llama_cpp_models import models_folder

Vocabularies = Callable[[str], Model]


@pytest.fixture(scope="session")
def llama_cpp_models() -> Path:
    """llama.cpp's ``models/`` folder, with ``.gguf``, ``.inp``, ``.out`` and ``.jinja`` files."""
    try:
        return models_folder()
    except Exception as error:
        reason = f"llama.cpp's source archive cannot be downloaded: {error!r}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def vocabulary(llama_cpp_models: Path) -> Vocabularies:
    """``vocabulary("qwen2")``: one of llama.cpp's test vocabularies, loaded once."""

    @cache
    def load(name: str) -> Model:
        return Model(llama_cpp_models / f"ggml-vocab-{name}.gguf", vocab_only=True)

    return load


@pytest.fixture(scope="session")
def demo(demo_gguf: Path) -> Model:
    """The demo model's vocabulary."""
    return Model(demo_gguf, vocab_only=True)
