"""Two turns of an agent with a tool, for every family: its template, and answers as it writes them.

Nothing is forced: a call may come, and does; thoughts come before it where the family thinks.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, ReasoningDelta, TextDelta, ToolCall, ToolResult, tool
from tests.support.played import (
    ANSWERS,
    CODES,
    FAMILIES,
    QUESTIONS,
    ROOMS,
    SOME,
    WORDS,
    playing,
    result_of,
)
from tests.support.thorough import quick


@tool
def look(room: str) -> str:
    """Look into a room."""
    return result_of({"room": room})


@pytest.mark.parametrize("name", quick(FAMILIES, *SOME))
def test_two_turns(name: str, llama_cpp_models: Path, tmp_path: Path) -> None:
    """The tool runs with what was called, and no mark of the family's reaches the user."""
    family = FAMILIES[name]
    model = family.write(tmp_path / "family.gguf")
    with LongContextLLM(model, 8192, n_threads=1) as llm, playing(family.replies()) as script:
        agent = Agent(llm, tools=[look], read_back=False)
        for room, question in zip(ROOMS, QUESTIONS, strict=True):
            events = list(agent.stream(question, max_tokens=400))
            calls = [event for event in events if isinstance(event, ToolCall)]
            assert [(call.name, call.arguments) for call in calls] == [("look", {"room": room})]
            (told,) = [event.text for event in events if isinstance(event, ToolResult)]
            assert CODES[room] in told
            result = agent.transcript[-1]
            assert result.content == ANSWERS[room]
            thoughts = [event.text for event in events if isinstance(event, ReasoningDelta)]
            assert "".join(thoughts).replace("\n", "") == "".join(family.reasoning)
            assert result.reasoning.strip() == family.reasoning[1]
            said = "".join(event.text for event in events if isinstance(event, TextDelta))
            assert said.replace("\n", "") == (WORDS if family.words else "") + ANSWERS[room]
        assert script.left == []
        assert script.n_held > 20  # nothing was forced, and both calls were held
        ids = [call.id for message in agent.transcript for call in message.tool_calls]
        assert len(set(ids)) == 2
        # What was called and said stands in the next prompt, in the template's own words.
        prompt = llm.detokenize(llm.prompt_ids(list(agent.transcript), tools=agent.toolbox.schemas))
        assert all(code in prompt for code in CODES.values())
