"""What a model thinks while an agent runs: told as it comes, and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from longctx import Message, ToolCall
from longctx.agents import Agent, ReasoningDelta, TextDelta, tool
from longctx.testing import ScriptedChatModel

CALL = ToolCall(id="call_1", name="weather", arguments={"city": "Rome"})
LOOKS = Message(
    role="assistant", content="I look.", reasoning="Rome may be warm.", tool_calls=(CALL,)
)
SAYS = Message(role="assistant", content="It is.", reasoning="So it is.")
YES: Any = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}


@tool
def weather(city: str) -> str:
    """Say what the weather is like."""
    return f"It is warm in {city}."


def _kinds(events: Any) -> list[str]:
    """Names of the events, those of the same kind in a row once."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if not i or names[i - 1] != name]


def test_thoughts_come_before_text_and_calls() -> None:
    """Piece by piece; the result has the last ones, and the model sees them again."""
    llm = ScriptedChatModel([LOOKS, SAYS])
    result = Agent(llm, [weather]).run("Is it warm in Rome?")
    kinds = ["ReasoningDelta", "TextDelta", "ToolCall", "ToolResult", "ReasoningDelta", "TextDelta"]
    assert _kinds(result.events) == kinds
    thoughts = [event.text for event in result.events if isinstance(event, ReasoningDelta)]
    assert "".join(thoughts) == LOOKS.reasoning + SAYS.reasoning
    assert len(thoughts) > 4
    assert (result.text, result.reasoning) == (SAYS.content, SAYS.reasoning)
    assert llm.calls[1].messages[-2].reasoning == LOOKS.reasoning
    assert result.usage.reasoning_tokens == 4 + 4 + 1


def test_words_before_a_call_are_told_with_a_schema_too() -> None:
    """Those of an answer that is given once more are not."""
    replies = [LOOKS, SAYS, '{"yes": true}']
    result = Agent(ScriptedChatModel(replies), [weather]).run("Warm?", response_schema=YES)
    words = "".join(event.text for event in result.events if isinstance(event, TextDelta))
    assert words == LOOKS.content + replies[2]
    assert result.value == {"yes": True}


def test_thoughts_are_saved(tmp_path: Path) -> None:
    """And a file from before there were any still loads."""
    file = tmp_path / "agent.json"
    agent = Agent(ScriptedChatModel([LOOKS, SAYS]), [weather])
    agent.run("Is it warm in Rome?")
    agent.save(file)
    loaded = Agent.load(file, ScriptedChatModel([]), [weather])
    assert loaded.transcript == agent.transcript
    assert loaded.transcript[-1].reasoning == SAYS.reasoning
    old = json.loads(file.read_text())
    for message in old["messages"]:
        del message["reasoning"]
    file.write_text(json.dumps(old))
    loaded = Agent.load(file, ScriptedChatModel([]), [weather])
    assert [message.reasoning for message in loaded.transcript] == [""] * 4


def test_options_of_a_run_reach_the_model() -> None:
    """Whether to think, and how many calls a step may have."""
    llm = ScriptedChatModel(["Yes."])
    Agent(llm).run("Warm?", thinking="low", parallel_tool_calls=False)
    assert llm.calls[0].options["thinking"] == "low"
    assert llm.calls[0].options["parallel_tool_calls"] is False
