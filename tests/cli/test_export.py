"""`longctx export`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from longctx.cli.app import app
from tests.cli.test_commands import run
from tests.conftest import TinyGguf

OPTIONS = ("--target-ctx", "4096", "--method", "yarn", "--memory", "8GiB")


def test_flags_on_stdout_and_losses_on_stderr(tiny_gguf: TinyGguf) -> None:
    """A pipe gets the command alone."""
    done = run("export", str(tiny_gguf()), "--to", "llama-server", *OPTIONS)
    assert done.stdout.startswith(f"llama-server -m {tiny_gguf()} -c 4096")
    assert len(done.stdout.splitlines()) == 1
    assert "elastic" in done.stderr


def test_json_and_files(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """--json is the whole export; --folder has its files."""
    arguments = ["export", str(tiny_gguf()), "--to", "ollama", *OPTIONS]
    done = CliRunner().invoke(app, [*arguments, "--folder", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["method"], found["scale"], found["n_ctx"]) == ("yarn", 4.0, 4096)
    assert (tmp_path / "out" / "Modelfile").read_text() == found["files"]["Modelfile"]
    shown = CliRunner().invoke(app, arguments)
    assert "PARAMETER num_ctx 4096" in shown.output


def test_an_unknown_engine_is_an_error(tiny_gguf: TinyGguf) -> None:
    """Exit status 1, and the message has the names."""
    done = run("export", str(tiny_gguf()), "--to", "mlx", *OPTIONS, ok=False)
    assert done.returncode == 1
    assert "RequestError" in done.stderr
    assert "koboldcpp" in done.stderr
