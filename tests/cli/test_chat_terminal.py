"""``longctx chat`` as somebody at a terminal sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.models import TINY
from tests.support.terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_R,
    ENTER,
    TAB,
    UP,
    Terminal,
)
from tests.support.thorough import quick

LONGCTX = "import sys; from longctx.cli import main; main(sys.argv[1:])"
OPTIONS = ("chat", str(TINY), "--target-ctx", "1024", "--max-tokens", "12", "--temperature", "0")
ITEMS = "\n".join(f"- item {number}" for number in range(40))
# Pieces come with time between them, as from a model.
SCRIPTED = """
import sys, threading, time
from contextlib import suppress
from longctx.agents import tool
from longctx.channel import Cancelled, Channel
from longctx.cli.chat.lines import open_lines
from longctx.cli.chat.talk import Talk
from longctx.cli.chat.words import answer_words
from longctx.stream import Stream
from longctx.testing import ScriptedChatModel
from longctx.types import Message, ToolCall

class Paced(ScriptedChatModel):
    def stream_chat(self, messages, **options):
        chunks, channel = list(super().stream_chat(messages, **options)), Channel()
        def send():
            with suppress(Cancelled):
                for chunk in chunks:
                    time.sleep(0.005)
                    channel.send(chunk)
        threading.Thread(target=send, daemon=True).start()
        return Stream(channel)

@tool(confirm=True)
def delete(path: str) -> str:
    "Delete a file."
    return f"{path} is gone"

call = ToolCall(id="1", name="delete", arguments={"path": "a.txt"})
think = Message(role="assistant", content=sys.argv[1], reasoning="Let me think.")
llm = Paced([think, call, "Well.", "word " * 9999, "Another."], target_ctx=60000)
talk = Talk(llm, [delete], words=answer_words(markdown=True))
with open_lines(lambda: talk.status, keeps_history=False) as lines:
    talk.go_on(lines)
"""


def test_what_is_typed(tmp_path: Path) -> None:
    """Several lines by each of their keys are one message; what was typed is found in the next
    session; commands and files are completed."""
    file = tmp_path / "conversation of today.json"
    environment = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Terminal(LONGCTX, *OPTIONS, environment=environment, rows=40, columns=150) as terminal:
        terminal.wait_for("0 turns")
        terminal.type(f"one{ALT_ENTER}two\\{ENTER}")
        terminal.paste("three\r\n  four\n")
        terminal.type(f"five{ENTER}")
        terminal.wait_for("1 turn")
        terminal.type(f"/s{TAB}")
        terminal.wait_for("> /save")
        terminal.type(f"{file}{ENTER}")
        terminal.wait_for("2 messages in")
        terminal.wait_for(lambda: "1 turn" in terminal.bottom)  # Ctrl-C before is the command's
        terminal.type(f"not this{CTRL_C}")
        terminal.wait_for("Ctrl-D ends")
        assert "not this" not in terminal.text
        terminal.type(f"nor this{CTRL_C}{CTRL_D}")
        assert terminal.end() == 0
    said = json.loads(file.read_text())["messages"][0]["content"]
    assert said == "one\ntwo\nthree\n  four\nfive"
    kept = tmp_path / "state" / "longctx" / "chat_history"
    assert kept.stat().st_mode & 0o077 == 0
    assert "this" not in kept.read_text()

    with Terminal(LONGCTX, *OPTIONS, environment=environment, rows=40, columns=150) as terminal:
        terminal.wait_for("0 turns")
        terminal.type(f"/load {tmp_path}/conv{TAB}")
        terminal.wait_for("today.json")
        terminal.type(ENTER)
        terminal.wait_for("2 messages from")
        terminal.wait_for(lambda: "1 turn" in terminal.bottom)
        terminal.type(f"{UP}{UP}{UP}")
        terminal.wait_for(lambda: "    four" in terminal.screen)  # below "three", in the prompt
        terminal.type(f"{CTRL_C}{CTRL_R}two")
        terminal.wait_for("I-search backward: two")
        terminal.type(f"{ENTER}{ENTER}")
        terminal.wait_for(lambda: "2 turns" in terminal.bottom)
        terminal.type(f"/exit{ENTER}")
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", quick([72, 34], 34))
def test_what_is_answered(columns: int) -> None:
    """Each line stands once in what can be scrolled back to, though there were more than the
    terminal has; a call is asked for; Ctrl-C stops the answer and not the program."""
    text = f"# Items\n\n**Many** of them:\n\n{ITEMS}\n\n```python\npass\n```"
    with Terminal(SCRIPTED, text, columns=columns, rows=12) as terminal:
        terminal.wait_for("0 turns")
        terminal.type(f"List them.{ENTER}")
        terminal.wait_for("item 20")
        terminal.type("ahead")  # is not mixed into the answer
        # The prompt is drawn first, and then read.
        terminal.wait_for(lambda: "1 turn" in terminal.bottom and "> ahead" in terminal.screen)
        lines = [line.strip() for line in terminal.lines]
        for number in range(40):
            assert lines.count(f"• item {number}") == 1
        start = lines.index("Items")
        assert lines[start - 1 : start + 5] == [
            "Let me think.",
            "Items",
            "",
            "Many of them:",
            "",
            "• item 0",
        ]
        assert lines[lines.index("• item 39") + 1 :][:4] == ["", "```python", "pass", "```"]
        assert "> ahead" in lines
        dim = r"\x1b\[[\d;]*\b2m"
        assert re.search(f"{dim}Let ".encode(), terminal.raw)

        terminal.type(f"{CTRL_C}Delete it.{ENTER}")
        terminal.wait_for("or why not]")
        terminal.type(f"y{ENTER}")
        terminal.wait_for(lambda: "2 turns" in terminal.bottom)
        assert "a.txt is gone" in terminal.text

        terminal.type(f"Talk.{ENTER}")
        terminal.wait_for("word word")
        terminal.type(CTRL_C)
        terminal.wait_for("stopped; this")
        terminal.wait_for(lambda: "2 turns" in terminal.bottom)
        terminal.type(f"/retry{ENTER}")
        terminal.wait_for("Another.")
        terminal.wait_for(lambda: "3 turns" in terminal.bottom)
        terminal.type(f"/undo{ENTER}")
        terminal.wait_for("taken back: Talk.")
        terminal.wait_for(lambda: "2 turns" in terminal.bottom)
        terminal.type(f"/clear{ENTER}")
        terminal.wait_for(lambda: "0 turns" in terminal.bottom)
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_a_terminal_that_can_do_nothing() -> None:
    """No sequence is written to it; a backslash goes on in the next line, Ctrl-C begins anew."""
    environment = {"TERM": "dumb", "NO_COLOR": "1"}
    with Terminal(SCRIPTED, f"{ITEMS}\n", environment=environment, rows=60) as terminal:
        terminal.wait_for(lambda: terminal.bottom == ">")
        terminal.type("No.")
        # A signal between the prompt and the reading is not noticed before the next key.
        terminal.wait_for(lambda: terminal.bottom == "> No." and terminal.sleeps)
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-D ends")
        terminal.type(f"List\\{ENTER}them.{ENTER}")
        terminal.wait_for("generated")
        assert "(thinking) Let me think." in terminal.text
        assert "- item 39" in terminal.text
        terminal.type(f"Delete it.{ENTER}")
        terminal.wait_for("or why not]")
        terminal.type(f"keep it{ENTER}")
        terminal.wait_for("not called: keep it")
        terminal.wait_for("Well.")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.raw


def test_ctrl_c_as_an_answer_ends() -> None:
    """It was for that, and comes before the next prompt has the keys: the conversation goes on."""
    code = SCRIPTED.replace("lambda: talk.status", "status").replace(
        "with open_lines",
        """import signal
def status():
    if len(llm.calls) == 1 and not late:
        late.append(True)
        signal.raise_signal(signal.SIGINT)
    return talk.status
late = []
with open_lines""",
    )
    with Terminal(code, "Well.") as terminal:
        terminal.wait_for("0 turns")
        terminal.type(f"Speak.{ENTER}")
        terminal.wait_for(lambda: "1 turn" in terminal.bottom)
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_no_colour() -> None:
    """https://no-color.org, in the prompt and in Markdown."""
    environment = {"NO_COLOR": "1"}
    with Terminal(SCRIPTED, "```python\nx = 1\n```", environment=environment) as terminal:
        terminal.wait_for("0 turns")
        terminal.type(f"Code.{ENTER}")
        terminal.wait_for("1 turn")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
        assert "x = 1" in terminal.text
        assert not re.search(rb"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38;|48;)[0-9;]*m", terminal.raw)
