"""A tool's call, whole and streamed, its result and the answer, for every shape of call."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_longctx import ChatLongCtx

TESTS = Path(__file__).parents[3] / "tests"
SHAPES: dict[str, str] = runpy.run_path(str(TESTS / "chat/call_shapes.py"))["CALL_SHAPES"]
LOOK = {
    "name": "look",
    "description": "Look into a room.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"enum": ["seven", "eight"]}, "twice": {"type": "boolean"}},
        "required": ["room", "twice"],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loop_of_a_tool(shape: str) -> None:
    """The call is valid, the same whole and streamed; with its result the talk goes on."""
    chat = ChatLongCtx(
        model=str(TESTS / "models/tiny-longctx.gguf"),
        target_ctx=1024,
        n_threads=1,
        max_tokens=200,
        reserve_output=200,
        chat_template=SHAPES[shape],
    )
    asked = HumanMessage("What is the code of room seven?")
    caller = chat.bind_tools([LOOK], tool_choice="look")
    answer = caller.invoke([asked])
    (call,) = answer.tool_calls
    assert call["name"] == "look"
    assert call["args"]["room"] in ("seven", "eight")
    assert isinstance(call["args"]["twice"], bool)
    pieces = list(caller.stream([asked]))
    streamed = sum(pieces[1:], start=pieces[0])
    assert isinstance(streamed, AIMessageChunk)
    assert [(one["name"], one["args"]) for one in streamed.tool_calls] == [("look", call["args"])]
    result = ToolMessage("The code is 4821.", tool_call_id=call["id"])
    after = chat.bind_tools([LOOK]).invoke([asked, answer, result], max_tokens=8)
    assert after.usage_metadata is not None
    assert after.usage_metadata["output_tokens"] > 0
