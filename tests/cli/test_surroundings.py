"""Commands where little is there: no home, no room on the disk, no script, warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from longctx.files import at_home
from tests.models import TINY

ROOT = Path(__file__).parents[2]
PLAN = ["plan", str(TINY), "--target-ctx", "1024", "--reserve-output", "16"]
# Of a user whom the system knows by number alone, as in many a container.
NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
def unknown(user): raise KeyError(user)
pwd.getpwuid = pwd.getpwnam = unknown
"""
# The files that a process writes have no byte: a disk that is full, for who may not mount one.
NO_ROOM = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""
MAIN = "import sys; from longctx.cli import main; main(sys.argv[1:])"
posix = pytest.mark.skipif(sys.platform == "win32", reason="homes and limits of POSIX")


def python(
    *arguments: str, cwd: Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with `longctx` on its path."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_as_a_module_with_a_safe_path(tmp_path: Path) -> None:
    """Where no script is on the path, and Python does not look where it stands; nothing of ours or
    of what we use is deprecated."""
    strict = [f"-Werror::{name}Warning" for name in ("Deprecation", "PendingDeprecation", "Future")]
    done = python(*strict, "-m", "longctx", *PLAN, cwd=tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 0
    assert done.stderr == ""


@posix
@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        (["models"], ""),
        (PLAN, ""),
        (["chat", str(TINY), "--target-ctx", "512", "--max-tokens", "4"], "Hi\n/save ~/x.json\n"),
    ],
)
def test_without_a_home(command: list[str], stdin: str, tmp_path: Path) -> None:
    """All that is kept in a home is missing, and nothing is written in the folder they stand in."""
    done = python("-c", NO_HOME + MAIN, *command, cwd=tmp_path, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@posix
def test_what_has_to_be_kept_without_a_home(tmp_path: Path) -> None:
    """The demo model's fast copy: the error names the cause and the cure."""
    done = python("-c", NO_HOME + MAIN, "ask", __file__, "Who?", cwd=tmp_path)
    assert done.returncode == 1
    assert "no home folder is known" in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr


@posix
def test_a_home_of_nobody_is_a_name() -> None:
    """As in a shell."""
    assert at_home("~nobody-has-this-name/x") == Path("~nobody-has-this-name/x")
    assert at_home("~").is_absolute()


@posix
def test_a_full_disk(tmp_path: Path) -> None:
    """What need not be kept is not; what must be is an error that says why."""
    (tmp_path / "a.txt").write_text("The pass key is 48213. " * 20)
    asked = ["ask", "a.txt", "What is it?", "--model", str(TINY), "--target-ctx", "1024",
             "--max-tokens", "4", "--cache-dir", "cache", "--compile", "0.75"]  # fmt: skip
    done = python("-c", NO_ROOM + MAIN, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    kept = python("-c", NO_ROOM + MAIN, *asked, "--library", "library", cwd=tmp_path)
    assert kept.returncode == 1
    assert "DocumentError" in kept.stderr
