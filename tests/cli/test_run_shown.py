"""What the terminal shows of a run, and asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = r"""
from longctx.agents import Agent, tool, running_call
from longctx.cli.chat.lines import open_lines
from longctx.cli.chat.run_shown import show_run
from longctx.cli.chat.words import PlainWords
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall

@tool(confirm=True)
def delete(path: str) -> str:
    "Delete a file."
    running_call().progress(1, 2, "half \x1b[2J done")
    return f"{path} is gone \x1b]0;title\x07"

call = ToolCall(id="1", name="delete", arguments={"path": "a.txt"})
events = Agent(ScriptedChatModel([call, "Well."]), tools=[delete]).stream("go")
with open_lines(lambda: "", keeps_history=False) as lines:
    show_run(events, PlainWords(), lines.ask)
"""


def shown(typed: bytes | None) -> str:
    """What stands in a file while somebody types, or lines are piped in."""
    if typed is None:
        done = subprocess.run(
            [sys.executable, "-c", CODE], input=b"y\n", capture_output=True, check=True
        )
        return done.stdout.decode()
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", CODE], stdin=slave, stdout=subprocess.PIPE)
    os.write(master, typed)
    text, _ = child.communicate(timeout=300)
    os.close(master)
    os.close(slave)
    return text.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (b"y\n", "a.txt is gone"),
        (b"\n", "delete was not called: the user said no"),
        (b"keep it\n", "delete was not called: keep it"),
        (None, "delete was not called: nobody is there to allow it"),
    ],
)
def test_a_call_is_asked_for(typed: bytes | None, said: str) -> None:
    """Who sits at the terminal says so; a pipe is nobody. What tools say moves no cursor, and the
    question is not in the file."""
    text = shown(typed)
    assert said in text
    assert "or why not]" not in text
    assert "Well." in text
    assert not set(text) & {"\x1b", "\x07"}
    assert ("half \ufffd[2J done" in text) == (typed == b"y\n")
