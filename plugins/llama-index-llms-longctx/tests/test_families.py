"""A tool's call, whole and streamed, its result and the answer, for every shape of call."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Literal

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.longctx import LongCtx
from pydantic import BaseModel

TESTS = Path(__file__).parents[3] / "tests"
SHAPES: dict[str, str] = runpy.run_path(str(TESTS / "chat/call_shapes.py"))["CALL_SHAPES"]


class Look(BaseModel):
    """What the tool takes."""

    room: Literal["seven", "eight"]
    twice: bool


def look(room: str, twice: bool) -> str:
    """Look into a room."""
    return f"The code of room {room} is 4821." * (1 + twice)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loop_of_a_tool(shape: str) -> None:
    """The call is valid, the same whole and streamed; with its result the talk goes on."""
    llm = LongCtx(
        model=str(TESTS / "models/tiny-longctx.gguf"),
        target_ctx=1024,
        n_threads=1,
        max_tokens=200,
        reserve_output=200,
        chat_template=SHAPES[shape],
    )
    tool = FunctionTool.from_defaults(look, fn_schema=Look)
    asked = ChatMessage(role="user", content="What is the code of room seven?")
    called = llm.chat_with_tools([tool], asked, tool_required=True)
    (call,) = llm.get_tool_calls_from_response(called)
    assert call.tool_name == "look"
    assert call.tool_kwargs["room"] in ("seven", "eight")
    assert isinstance(call.tool_kwargs["twice"], bool)
    *_, whole = llm.stream_chat_with_tools([tool], asked, tool_required=True)
    (streamed,) = llm.get_tool_calls_from_response(whole)
    assert streamed.tool_kwargs == call.tool_kwargs
    result = ChatMessage(
        role="tool",
        content=look(**call.tool_kwargs),
        additional_kwargs={"tool_call_id": call.tool_id},
    )
    history = [asked, called.message, result]
    last = llm.chat_with_tools([tool], chat_history=history, max_tokens=8)
    assert last.additional_kwargs["completion_tokens"] > 0
