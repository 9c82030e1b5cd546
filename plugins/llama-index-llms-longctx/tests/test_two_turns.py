"""Two turns with a tool for every family of models, played from a script on a real engine."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool
from llama_index.llms.longctx import LongCtx

ROOT = Path(__file__).parents[3]
NAMES = (
    "Hermes' objects, thoughts (Qwen 3)", "parameters in tags (Qwen 3 Coder)",
    "harmony (gpt-oss)", "tokens of its own (DeepSeek V3.1)", "keys and values (GLM 4.6)",
    "brackets (Ministral 3)", "braces and quotes of its own (Gemma 4)",
    "as Python calls functions (LFM 2.5)",
)  # fmt: skip


@pytest.fixture(scope="module")
def played() -> Any:
    """The scripts of the main tests."""
    return runpy.run_path(str(ROOT / "tests/support/for_plugins.py"))["played"]()


@pytest.mark.parametrize("name", NAMES)
def test_two_turns(name: str, played: Any, tmp_path: Path) -> None:
    """The first whole, the second streamed: thoughts, words and calls come apart."""
    family, talk = played.FAMILIES[name], list[ChatMessage]()
    llm = LongCtx(
        model=str(family.write(tmp_path / "family.gguf")), target_ctx=8192, n_threads=1,
        max_tokens=400,
    )  # fmt: skip

    def look(room: str) -> str:
        """Look into a room."""
        return str(played.result_of({"room": room}))

    tools = [FunctionTool.from_defaults(look)]

    def answer(stream: bool) -> ChatResponse:
        if not stream:
            return llm.chat_with_tools(tools, chat_history=talk)
        *_, whole = llm.stream_chat_with_tools(tools, chat_history=talk)
        return whole

    def thought(response: ChatResponse) -> str:
        blocks = response.message.blocks
        return "".join(b.content or "" for b in blocks if b.block_type == "thinking").strip()

    with played.playing(family.replies()) as script:
        for room, question in zip(played.ROOMS, played.QUESTIONS, strict=True):
            stream = room == played.ROOMS[1]
            talk.append(ChatMessage(role="user", content=question))
            called = answer(stream)
            (call,) = llm.get_tool_calls_from_response(called)
            assert (call.tool_name, call.tool_kwargs) == ("look", {"room": room})
            result = ChatMessage(
                role="tool",
                content=look(**call.tool_kwargs),
                additional_kwargs={"tool_call_id": call.tool_id},
            )
            talk += [called.message, result]
            said = answer(stream)
            assert llm.get_tool_calls_from_response(said, error_on_no_tool_call=False) == []
            assert said.message.content == played.ANSWERS[room]
            assert (thought(called), thought(said)) == family.reasoning
            assert said.raw["finish_detail"] is None
            talk.append(said.message)
        assert script.left == []
        assert script.n_held > 20


def test_the_demo_model() -> None:
    """A real one, told to call: the call, its result, and words."""
    llm = LongCtx(target_ctx=2048, max_tokens=40, temperature=0.5, min_p=0.1, seed=1)

    def look(twice: bool) -> str:
        """Look into a room."""
        return "The code is 4821. " * (1 + twice)

    tools = [FunctionTool.from_defaults(look)]
    asked = ChatMessage(role="user", content="What is the code?")
    called = llm.chat_with_tools(tools, chat_history=[asked], tool_required=True)
    (call,) = llm.get_tool_calls_from_response(called)
    assert isinstance(call.tool_kwargs["twice"], bool)
    result = ChatMessage(
        role="tool",
        content=look(**call.tool_kwargs),
        additional_kwargs={"tool_call_id": call.tool_id},
    )
    said = llm.chat([asked, called.message, result])
    assert said.message.content
