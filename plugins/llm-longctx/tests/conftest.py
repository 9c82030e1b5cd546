"""A user folder of its own for each test, and the tiny models of the main tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

ROOT = Path(__file__).parents[3]
WRITE_TINY = """
import sys
from pathlib import Path
from tests.support.tiny_gguf import write_tiny_gguf
write_tiny_gguf(Path(sys.argv[1]), "llama", n_ctx_train=4096)
"""


@pytest.fixture(autouse=True)
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """llm's folder, empty."""
    folder = tmp_path / "llm"
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of three layers, trained on 4,096 tokens."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    # In a process of its own: its `tests` package is not this one.
    subprocess.run([sys.executable, "-c", WRITE_TINY, str(path)], cwd=ROOT, check=True)
    return path


@pytest.fixture
def run() -> Callable[..., Result]:
    """``run("-m", "longctx", "Hello")``: llm's command line in this process."""
    from llm.cli import cli

    return lambda *arguments, **options: CliRunner().invoke(cli, arguments, **options)
