"""A loop of the demo model, a real one of 135 million parameters: by an agent and over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, ToolCall, ToolResult, tool
from tests.server.live_server import serving


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The packaged model."""
    with LongContextLLM(target_ctx=2048, reserve_output=64) as llm:
        yield llm


@tool
def look(room: Literal["seven", "eight"]) -> str:
    """Look up the code of a room."""
    return f"The code of room {room} is {'4821' if room == 'seven' else '1357'}."


def test_an_agent(llm: LongContextLLM) -> None:
    """Two turns: each calls with what was asked for, is told, and ends in words."""
    agent = Agent(llm, tools=[look], read_back=False)
    options: Any = {**llm.sampling_defaults, "max_tokens": 40, "seed": 1}
    for room in ("seven", "eight"):
        question = f"What is the code of room {room}?"
        events = list(agent.stream(question, tool_choice="required", **options))
        first, *_ = [event for event in events if isinstance(event, ToolCall)]
        assert first.arguments == {"room": room}
        assert any(isinstance(event, ToolResult) and room in event.text for event in events)
        assert agent.transcript[-1].content


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_client(llm: LongContextLLM, stream: bool) -> None:
    """The same through the server."""
    tools: Any = [look.schema]
    options: Any = {"model": "demo", "tools": tools, "max_tokens": 40, "seed": 1}
    talk: list[Any] = [{"role": "user", "content": "What is the code of room seven?"}]
    with serving(llm, model_id="demo") as live:
        chat = live.openai().chat.completions
        if stream:
            pieces = [
                call
                for chunk in chat.create(
                    messages=talk, tool_choice="required", stream=True, **options
                )
                for choice in chunk.choices
                for call in choice.delta.tool_calls or ()
            ]
            name = "".join(piece.function.name or "" for piece in pieces if piece.function)
            text = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
            call_id = pieces[0].id
        else:
            message = chat.create(messages=talk, tool_choice="required", **options)
            (call,) = message.choices[0].message.tool_calls or ()
            name, text, call_id = call.function.name, call.function.arguments, call.id
        assert (name, json.loads(text)) == ("look", {"room": "seven"})
        function = {"name": name, "arguments": text}
        talk += [
            {"role": "assistant", "tool_calls": [
                {"id": call_id, "type": "function", "function": function}
            ]},
            {"role": "tool", "tool_call_id": call_id, "content": look("seven")},
        ]  # fmt: skip
        answer = chat.create(messages=talk, **{**options, "tool_choice": "none"})
        assert answer.choices[0].message.content
