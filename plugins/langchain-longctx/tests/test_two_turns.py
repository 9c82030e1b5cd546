"""Two turns with a tool for every family of models, played from a script on a real engine."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_longctx import ChatLongCtx

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def played() -> Any:
    """The scripts of the main tests."""
    return runpy.run_path(str(ROOT / "tests/support/for_plugins.py"))["played"]()


NAMES = (
    "Hermes' objects, thoughts (Qwen 3)", "parameters in tags (Qwen 3 Coder)",
    "harmony (gpt-oss)", "tokens of its own (DeepSeek V3.1)", "keys and values (GLM 4.6)",
    "brackets (Ministral 3)", "braces and quotes of its own (Gemma 4)",
    "as Python calls functions (LFM 2.5)",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_two_turns(name: str, played: Any, tmp_path: Path) -> None:
    """The first whole, the second streamed: thoughts, words and calls come apart."""
    family, talk = played.FAMILIES[name], list[Any]()
    chat = ChatLongCtx(
        model=str(family.write(tmp_path / "family.gguf")), target_ctx=8192, n_threads=1,
        max_tokens=400,
    )  # fmt: skip
    caller = chat.bind_tools([played.LOOK])

    def answer(stream: bool) -> AIMessage:
        if not stream:
            return caller.invoke(talk)
        pieces = list(caller.stream(talk))
        whole = sum(pieces[1:], start=pieces[0])
        assert isinstance(whole, AIMessageChunk)
        return whole

    with played.playing(family.replies()) as script:
        for room, question in zip(played.ROOMS, played.QUESTIONS, strict=True):
            stream = room == played.ROOMS[1]
            talk.append(HumanMessage(question))
            called = answer(stream)
            (call,) = called.tool_calls
            assert (call["name"], call["args"]) == ("look", {"room": room})
            talk += [called, ToolMessage(played.result_of(call["args"]), tool_call_id=call["id"])]
            said = answer(stream)
            assert not said.tool_calls
            assert said.text == played.ANSWERS[room]
            thoughts = [m.additional_kwargs.get("reasoning_content", "") for m in (called, said)]
            assert tuple(thought.strip() for thought in thoughts) == family.reasoning
            assert said.response_metadata["finish_detail"] is None
            talk.append(said)
        assert script.left == []
        assert script.n_held > 20


def test_the_demo_model() -> None:
    """A real one, told to call: the call, its result, and words."""
    chat = ChatLongCtx(target_ctx=2048, max_tokens=40, temperature=0.5, min_p=0.1, seed=1)
    room = {"type": "string", "enum": ["seven", "eight"]}
    parameters = {"type": "object", "properties": {"room": room}, "required": ["room"]}
    look = {"name": "look", "description": "Look into a room.", "parameters": parameters}
    asked = HumanMessage("What is the code of room seven?")
    called = chat.bind_tools([look], tool_choice="look").invoke([asked])
    (call,) = called.tool_calls
    assert call["args"]["room"] in ("seven", "eight")
    result = ToolMessage("The code of room seven is 4821.", tool_call_id=call["id"])
    said = chat.bind_tools([look], tool_choice="none").invoke([asked, called, result])
    assert said.text
    assert not said.tool_calls
