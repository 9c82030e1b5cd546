"""Commands on a terminal of another encoding, on closed and full streams, and with no reader."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import TINY
from tests.support.thorough import quick, thorough

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")

LONGCTX = "import sys; from longctx.cli import main; main(sys.argv[1:])"

COMMANDS = {
    "help": "--help",
    "inspect": "inspect MODEL",
    "plan": "plan MODEL --target-ctx 1024 --reserve-output 16",
    "plan --json": "plan MODEL --target-ctx 1024 --reserve-output 16 --json",
    "ask": "ask FILE 'Кто несёт риск?' --model MODEL --target-ctx 1024 --max-tokens 8",
    "ask --json": "ask FILE 'Кто?' --model MODEL --target-ctx 1024 --max-tokens 8 --json",
    "chat": "chat MODEL --target-ctx 512 --max-tokens 8",
    "chat --json": "chat MODEL --target-ctx 512 --max-tokens 8 --json",
    "an error": "ask нет.txt 'Кто?' --model MODEL",
    "wrong usage": "plan --no-such-option",
}
STATUS = {"an error": 1, "wrong usage": 2}
CLOSED = ("<&-", ">&-", "2>&-")
each_command = pytest.mark.parametrize("name", quick(COMMANDS, "plan --json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a document with a name and a text of its own language lies."""
    folder = tmp_path_factory.mktemp("документы")
    (folder / "документ.txt").write_text("Продавец несёт риск до доставки → «так» 🙂.\n", "utf-8")
    return folder


def shell(
    name: str, folder: Path, line: str = "COMMAND", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash with a command in it."""
    words = COMMANDS[name].replace("MODEL", shlex.quote(str(TINY))).replace("FILE", "документ.txt")
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(LONGCTX)} {words}"
    done = subprocess.run(
        ["bash", "-c", line.replace("COMMAND", command)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", **environment},
        input="Привет → 🙂\n".encode(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    for said in (done.stdout, done.stderr):
        for bad in (b"Traceback", b"Exception ignored", b"Error in sys"):
            assert bad not in said, said.decode(errors="replace")
    return done


@each_command
@pytest.mark.parametrize("encoding", quick(["cp1252", "koi8-r"], "cp1252"))
def test_a_terminal_of_another_encoding(name: str, encoding: str, folder: Path) -> None:
    """What it lacks is escaped; JSON stays JSON, and says the same."""
    done = shell(name, folder, PYTHONIOENCODING=encoding)
    assert done.returncode == STATUS.get(name, 0)
    text = done.stdout.decode(encoding)
    if name == "ask --json":
        assert json.loads(text)["report"]["documents"][0]["doc_id"] == "документ.txt"
    elif name.endswith("--json"):
        assert json.loads(text)
    elif name == "ask" and encoding == "cp1252":
        assert "\\u0434\\u043e\\u043a" in text
    elif name == "ask":
        assert "документ.txt" in text


@thorough
@pytest.mark.parametrize("name", ["ask", "ask --json", "an error"])
def test_the_c_locale_without_utf8(name: str, folder: Path) -> None:
    """Python writes ASCII there and keeps the bytes of names."""
    done = shell(name, folder, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == STATUS.get(name, 0)


@pytest.mark.parametrize(
    ("name", "closed"),
    quick(
        [
            *((name, "<&- >&- 2>&-") for name in COMMANDS),
            *((name, closed) for name in ("chat", "plan --json", "an error") for closed in CLOSED),
        ],
        ("ask", "<&- >&- 2>&-"),
        ("plan --json", ">&-"),
    ),
)
def test_closed_streams(name: str, closed: str, folder: Path) -> None:
    """Nothing comes in, and what goes out is nobody's; the status is the same."""
    done = shell(name, folder, f"COMMAND {closed}")
    assert done.returncode == STATUS.get(name, 0), done.stderr.decode()
    if "2>" not in closed and name == "an error":
        assert b"DocumentError" in done.stderr


@each_command
def test_nobody_reads(name: str, folder: Path) -> None:
    """As with `| head`: it ends with status 1, without a word, or was done before it knew."""
    done = shell(name, folder, "COMMAND | true; exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 1, STATUS.get(name, 0))
    if name not in STATUS:
        assert done.stderr.count(b"\n") <= 1


@thorough
@pytest.mark.parametrize("line", ["COMMAND | head -n 1 >/dev/null", "COMMAND 2>&1 | true"])
@pytest.mark.parametrize("name", ["help", "ask", "an error"])
def test_nobody_reads_on(name: str, line: str, folder: Path) -> None:
    """A line was enough, or not even errors are wanted."""
    assert shell(name, folder, f"{line}; exit ${{PIPESTATUS[0]}}").returncode in (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@each_command
def test_a_full_disk(name: str, folder: Path) -> None:
    """Status 1, and why."""
    done = shell(name, folder, "COMMAND >/dev/full")
    assert done.returncode == STATUS.get(name, 1)
    if name not in STATUS:
        assert b"No space left" in done.stderr
        assert shell(name, folder, "COMMAND >/dev/full 2>&1").returncode == 1


def test_what_is_opened_does_not_take_the_place_of_a_closed_stream(
    folder: Path, tmp_path: Path
) -> None:
    """Else what is printed would stand in the session that is saved."""
    saved = tmp_path / "talk.json"
    line = f"printf 'Hi\\n/save {saved}\\n' | COMMAND >&- 2>&-"
    assert shell("chat", folder, line).returncode == 0
    assert json.loads(saved.read_text("utf-8"))["messages"]


@pytest.mark.parametrize("encoding", quick(["utf-8", "cp1252", "ascii"], "utf-8"))
def test_bytes_that_are_no_text(encoding: str, folder: Path) -> None:
    """A line of them is read as what it can be; the conversation goes on."""
    line = "printf '\\xff\\xfe hello\\nHi\\n' | COMMAND"
    done = shell("chat --json", folder, line, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 2
