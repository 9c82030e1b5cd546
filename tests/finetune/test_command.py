"""``longctx finetune``: from a GGUF to an adapter that ``longctx plan`` takes, in a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from longctx.cli.seconds import seconds
from longctx.errors import RequestError
from tests.cli.test_commands import run
from tests.finetune.small import MODEL, PROSE
from tests.support.thorough import thorough

FEW = ["--target-ctx", "1024", "--sequence-tokens", "64", "--no-measure", "--threads", "1"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A document to train on."""
    path = tmp_path / "text.txt"
    path.write_text(PROSE)
    return path


def test_an_adapter_is_made_and_used(tmp_path: Path, text: Path) -> None:
    """Its result is JSON, progress goes to stderr, and a plan with it says what it is for."""
    out = tmp_path / "made"
    done = run(
        "finetune", str(MODEL), *FEW, "--tokens", "512", "--budget", "1h",
        "--text", str(text), "--out", str(out), "--json",
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert made["steps"] == 2
    assert "tokens/s" in done.stderr
    planned = run("plan", str(MODEL), "--target-ctx", "1024", "--adapter", made["adapter"])
    assert "was trained for self-extend at 1,024 tokens" in " ".join(planned.stdout.split())


@thorough
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal that can be sent there")
def test_ctrl_c_keeps_what_was_trained(tmp_path: Path, text: Path) -> None:
    """It is said how to go on, and there is a checkpoint: from the first step on, at any moment."""
    out = tmp_path / "made"
    # A shell lets what it starts in the background ignore Ctrl-C, and so all that starts itself.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from longctx.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "finetune", str(MODEL), *FEW]
    command += ["--budget", "1h", "--text", str(text), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [next(process.stderr)]
        while "step" not in said[-1]:
            said.append(next(process.stderr))
        process.send_signal(signal.SIGINT)
        try:
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()  # one that goes on would for an hour
    assert process.returncode == 130
    assert "the same command goes on" in rest
    assert (out / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("10min", 600), ("2h", 7200), ("1.5 h", 5400), ("7", 7)]
)
def test_times(text: str, expected: float) -> None:
    """As people write them."""
    assert seconds("--budget", text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1d", "1h30"])
def test_what_is_no_time(text: str) -> None:
    """Says the option's name."""
    with pytest.raises(RequestError, match="--budget is"):
        seconds("--budget", text)


def test_measuring_what_was_not_trained(tmp_path: Path) -> None:
    """Is refused, with what to do first."""
    out = str(tmp_path / "none")
    done = run("finetune", str(MODEL), *FEW[:2], "--measure-only", "--out", out, ok=False)
    assert "nothing was trained in" in " ".join(done.stderr.split())
