"""What a model thinks is no word of its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import llm
import pytest
from click.testing import Result
from llm.parts import ReasoningPart, TextPart, ToolResultPart
from llm_longctx import LongCtxOptions
from llm_longctx.messages import to_longctx

from longctx import Message
from longctx.testing import ScriptedChatModel

THOUGHT = Message(role="assistant", content="It is blue.", reasoning="The sky, by day.")
THINKS = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: <think>\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '</think>\n' }}"
    "{% endif %}{% endif %}"
)


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_are_events_of_their_own(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """The text is the answer; thoughts are counted, kept, and shown to the model again."""
    fake = ScriptedChatModel([THOUGHT, "Yes."])
    model = llm.get_model("longctx")
    monkeypatch.setattr(model, "open", lambda _: fake)
    conversation = model.conversation()
    first = conversation.prompt("What is blue?", stream=stream)
    assert first.text() == THOUGHT.content
    told = [event for event in first.stream_events() if event.type == "reasoning"]
    assert "".join(event.chunk for event in told) == THOUGHT.reasoning
    assert first.usage().details["completion_tokens_details"]["reasoning_tokens"] == 6
    conversation.prompt("Is it?", stream=stream).text()
    assert fake.calls[1].messages[1] == THOUGHT


@pytest.mark.parametrize(
    ("said", "meant"), [("true", True), ("false", False), ("low", "low"), (False, False)]
)
def test_a_switch_is_read_from_text(said: Any, meant: Any) -> None:
    """Behind ``-o`` "false" is no amount of thinking."""
    assert LongCtxOptions(thinking=said).thinking is meant or meant == "low"


def test_on_the_command_line(run: Callable[..., Result], tiny: Path, tmp_path: Path) -> None:
    """Noise never ends its thoughts: nothing on stdout, unless it does not think."""
    template = tmp_path / "thinks.jinja"
    template.write_text(THINKS)
    options = {"model": tiny, "chat_template": template, "max_tokens": 8, "target_ctx": 1024}
    asked = ["-m", "longctx", "Hello", *(w for k, v in options.items() for w in ("-o", k, str(v)))]
    thinking = run(*asked)
    assert not thinking.stdout.strip()
    assert thinking.stderr.strip()
    assert run(*asked, "-o", "thinking", "false").stdout.strip()
    assert run(*asked, "-o", "thinking_budget", "2", "-o", "max_tokens", "20").stdout.strip()


def test_a_turn_of_thoughts_alone_is_one() -> None:
    """Its answer was cut; without it the user would speak twice. What no text shows is named."""
    turns = to_longctx([
        llm.Message(role="user", parts=[TextPart("Hi")]),
        llm.Message(role="assistant", parts=[ReasoningPart("Well")]),
        llm.Message(role="tool", parts=[
            ToolResultPart(name="draw", output="drawn", tool_call_id="1",
                           attachments=[llm.Attachment(type="image/png", content=b"x")]),
        ]),
    ])  # fmt: skip
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert (turns[1]["content"], turns[1]["reasoning"]) == ("", "Well")
    assert turns[2]["content"] == "drawn\n[image/png, not shown]"
