"""Ctrl-C, as a terminal sends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from subprocess import PIPE

from tests.support.thorough import thorough

# A shell that starts tests in the background has them ignore Ctrl-C, and they would hand that on.
CODE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from longctx.cli import main; main(sys.argv[1:])"
)


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start `longctx` with pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
    )


def test_in_a_prefill_it_ends_the_program_with_130() -> None:
    """No traceback, no abort."""
    process = start("demo")
    assert process.stdout is not None
    assert any("kept for the answer" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in said


@thorough
def test_in_a_chat_it_ends_the_answer_only() -> None:
    """The program goes on: the next question is answered."""
    process = start("chat", "--target-ctx", "16384", "--max-tokens", "600")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Write a very long story about a king and his three daughters.\n")
    process.stdin.flush()
    process.stdout.read(40)  # the answer has begun
    process.send_signal(signal.SIGINT)
    out, said = process.communicate("Say hello.\n", timeout=600)
    assert process.returncode == 0
    assert "stopped" in said
    assert out.count("prefilled in") == 1
