"""What a chat's prompt keeps and completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from longctx.cli.chat.commands import COMMANDS, command_of
from longctx.cli.chat.history import MAX_BYTES, MAX_CHARACTERS, KeptHistory
from longctx.cli.chat.prompt import CommandCompleter


def kept(path: Path) -> list[str]:
    """What another session finds, the newest first."""
    return list(KeptHistory(path).load_history_strings())


def test_messages_are_kept(tmp_path: Path) -> None:
    """Of several lines, of any language, with bytes that are no text; no pasted document."""
    path = tmp_path / "state" / "history"
    history = KeptHistory(path)
    for message in ("one\n\ntwo", "Кто → 🙂", "\udcff", "x" * (MAX_CHARACTERS + 1)):
        history.append_string(message)
    assert kept(path) == ["?", "Кто → 🙂", "one\n\ntwo"]


def test_a_long_history_loses_its_older_half(tmp_path: Path) -> None:
    """It begins with a whole message."""
    path = tmp_path / "history"
    history, long = KeptHistory(path), "x" * 5000
    for number in range(MAX_BYTES // 5000 + 1):
        history.append_string(f"{number}\n{long}")
    found = kept(path)
    assert found[0].startswith(f"{MAX_BYTES // 5000}\n")
    assert found[-1].endswith(f"\n{long}")
    assert path.stat().st_size < MAX_BYTES * 0.6
    assert kept(path) == found


def test_two_chats_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """While one adds messages, in a process of its own, others begin, and drop what is old."""
    path, n = tmp_path / "history", 2_000
    code = (
        "import sys; from pathlib import Path; from longctx.cli.chat.history import KeptHistory\n"
        f"for i in range({n}): KeptHistory(Path(sys.argv[1])).store_string(f'{{i}} ' + 'x' * 5000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as other:
        while other.poll() is None:
            kept(path)
    assert other.returncode == 0
    typed = [int(text.split()[0]) for text in kept(path)]
    assert typed == list(range(n - 1, n - 1 - len(typed), -1))
    assert len(typed) > 50


def test_a_history_that_cannot_be_kept(tmp_path: Path) -> None:
    """Is none; the session has its own."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "history", tmp_path):
        history = KeptHistory(path)
        history.append_string("hello")
        assert history.get_strings() == ["hello"]
        assert kept(path) == []


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("/", [f"{each.name} " if each.argument else each.name for each in COMMANDS]),
        ("/co", ["/context"]),
        ("/s", ["/save "]),
        ("/x", []),
        ("context", []),
        ("", []),
        ("/load FOLDER/", ["b c.json", "folder"]),
        ("/save  FOLDER/b", [" c.json"]),
        ("/context FOLDER/", []),
        ("see /save FOLDER/", []),
        ("/save FOLDER/\nmore", []),
    ],
)
def test_commands_and_files_are_completed(typed: str, completed: list[str], tmp_path: Path) -> None:
    """Files only behind a command that takes one; a KV cache is none."""
    (tmp_path / "b c.json").touch()
    (tmp_path / "b c.json.kv").touch()
    (tmp_path / "folder").mkdir()
    text = typed.replace("FOLDER", str(tmp_path))
    found = CommandCompleter().get_completions(Document(text, len(text)), CompleteEvent())
    assert [each.text for each in found] == completed


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("/save a b.json", ("/save", "a b.json")),
        ("/help", ("/help", "")),
        ("/dance now", ("/dance", "now")),
        ("/etc/hosts is a file", None),
        ("/help\nme", None),
        ("help", None),
    ],
)
def test_what_a_command_is(message: str, command: tuple[str, str] | None) -> None:
    """One line that begins with a slash and a word; a path is none."""
    assert command_of(message) == command
