"""``longctx chat --mcp``: tools that run, prompts that are said, questions that are asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, McpTools, mcp
from longctx.cli.chat.talk import Talk
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.cli.test_commands import run
from tests.mcp.serving import command
from tests.models import TINY

pytest.importorskip("mcp")


class Typed:
    """Lines as somebody types them, and answers to questions."""

    has_keys = False

    def __init__(self, *lines: str, answers: tuple[str | None, ...] = ()) -> None:
        self._lines, self._answers = list(lines), list(answers)
        self.asked: list[str] = []

    def read(self) -> str | None:
        """The next."""
        return self._lines.pop(0) if self._lines else None

    def ask(self, question: str) -> str | None:
        """The next answer."""
        self.asked.append(question)
        return self._answers.pop(0)


@pytest.fixture(scope="module")
def asking() -> Iterator[McpTools]:
    """A server with a prompt, which asks the user."""
    with mcp(command("asking"), ask=True) as server:
        yield server


def test_a_real_model_calls_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tool runs, and what it returns is shown, and stands in the conversation."""
    with (
        LongContextLLM(TINY, 2048, reserve_output=8, n_threads=1) as llm,
        mcp(command("friendly", tmp_path), confirm="changes") as server,
    ):
        for name, answers in (("add", ()), ("forget", ("n",)), ("forget", ("y",))):
            choice = {"type": "function", "function": {"name": name}}
            options = {"tool_choice": choice, "max_tokens": 40, "temperature": 0.0}
            lines = Typed("Go on.", f"/save {tmp_path / 'chat.json'}", answers=answers)
            Talk(llm, [server], options=options).go_on(lines)
            said = Agent.load(tmp_path / "chat.json", llm, tools=[server]).transcript
            (call,) = said[1].tool_calls
            (back,) = [m for m in said if m.role == "tool" and m.tool_call_id == call.id]
            shown = capsys.readouterr().out
            assert f"→ {name}" in shown
            assert f"← {back.content}" in shown
            if name == "add":
                assert int(back.content) == call.arguments["a"] + call.arguments["b"]
            else:
                was_allowed = answers == ("y",)
                assert (back.content == "gone") == was_allowed
                assert (tmp_path / "forgotten").exists() == was_allowed


def test_the_command_has_tools_and_prompts() -> None:
    """In a process of its own: what is left out is said, a prompt is said with its beginning."""
    options = ("chat", str(TINY), "--target-ctx", "1024", "--max-tokens", "8")
    servers = ("--mcp", command("hostile", "brief"), "--mcp", command("asking"))
    typed = "/prompt\n/prompt plan city='the moon'\n/context\n/prompt nowhere\n"
    done = run(*options, *servers, stdin=typed)
    assert "plan city=… [by=…]: Plan a trip." in done.stdout
    assert "Plan a trip to the moon by train." in done.stdout
    assert "4 of 4 messages shown" in done.stdout
    tools = next(line for line in done.stdout.splitlines() if line.startswith("tools"))
    assert int(tools.split()[1].replace(",", "")) > 100
    assert r"'two\nlines' is left out" in done.stderr
    assert "there is no prompt 'nowhere'" in done.stderr


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("plan", "wants city=…"),
        ("plan city", "'city' is no key=value"),
        ("plan city=Bremen when=now", "takes no 'when'"),
        ("plan 'city=Bremen", "cannot be read"),
        ("trip", "there is no prompt 'trip'"),
    ],
)
def test_what_is_no_prompt_is_said(
    asking: McpTools, typed: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is said to the model."""
    llm = ScriptedChatModel([])
    Talk(llm, [asking]).go_on(Typed(f"/prompt {typed}"))
    assert why in capsys.readouterr().err
    assert llm.calls == []


def test_a_prompt_goes_on_from_what_was_said(asking: McpTools) -> None:
    """Its beginning is a part of the conversation, of the server that is named."""
    llm = ScriptedChatModel(["Hello.", "By ship, then."])
    Talk(llm, [asking]).go_on(Typed("Hi.", "/prompt asking:plan city=Juist by=ship"))
    said = [(message.role, message.content) for message in llm.calls[-1].messages]
    assert said[:2] == [("user", "Hi."), ("assistant", "Hello.")]
    assert said[2:] == [
        ("user", "I like ships."),
        ("assistant", "So do I."),
        ("user", "Plan a trip to Juist by ship."),
    ]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (("Juist", "2", ""), "2 to Juist by train"),
        (("Juist", "2", "ship"), "2 to Juist by ship"),
        (("", ), "Error: "),
        ((None, ), "Error: "),
        (("Juist", "two", "ship"), "Error: "),
    ],
)  # fmt: skip
def test_the_user_is_asked_field_by_field(
    asking: McpTools,
    answers: tuple[str | None, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What may be left out has its default; what may not be ends it."""
    llm = ScriptedChatModel([ToolCall(id="1", name="book", arguments={}), "Well."])
    lines = Typed("Book.", answers=answers)
    Talk(llm, [asking]).go_on(lines)
    assert "asking asks: Where to?" in capsys.readouterr().out
    assert llm.calls[-1].messages[-1].content.startswith(told)
    questions = ["city: ", "guests (integer): ", "by (one of train, ship; otherwise train): "]
    assert lines.asked == questions[: len(answers)]
