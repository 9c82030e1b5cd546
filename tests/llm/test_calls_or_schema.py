"""An answer that is a call of a tool, or else by a schema, in every shape of call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longctx import Completion, LongContextLLM
from tests.chat.call_shapes import CALL_SHAPES, SOME, THINKS
from tests.models import TINY
from tests.support.llama_cpp_models import models_folder
from tests.support.played import FAMILIES
from tests.support.thorough import quick

LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"room": {"enum": ["seven", "eight"]}},
            "required": ["room"],
        },
    },
}
ANSWER: Any = {
    "type": "object",
    "properties": {"code": {"enum": [1, 2]}, "sure": {"type": "boolean"}},
    "required": ["code", "sure"],
}
ASK: list[Any] = [{"role": "user", "content": "What is the code of room seven?"}]


def kind(result: Completion) -> str:
    """What an answer is; it is valid."""
    if result.tool_calls:
        assert result.finish_reason == "tool_calls"
        for call in result.tool_calls:
            assert call.name == "look"
            assert call.arguments["room"] in ("seven", "eight")
        return "call"
    answer = json.loads(result.text)
    assert answer["code"] in (1, 2)
    assert isinstance(answer["sure"], bool)
    return "answer"


@pytest.mark.parametrize("shape", quick([*CALL_SHAPES, "thoughts first"], *SOME, "thoughts first"))
def test_it_is_one_or_the_other(shape: str) -> None:
    """Noise comes to both, by seed; never to anything else. Calls that must come do."""
    source = CALL_SHAPES.get(shape, THINKS)
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=source) as llm:
        options: Any = {"tools": [LOOK], "response_schema": ANSWER, "max_tokens": 240}
        if shape not in CALL_SHAPES:
            options["thinking"] = False
        drawn = [
            llm.chat(ASK, temperature=4.0, seed=seed, parallel_tool_calls=False, **options)
            for seed in range(24)
        ]
        assert {kind(result) for result in drawn} == {"call", "answer"}
        assert kind(llm.chat(ASK, tool_choice="required", **options)) == "call"
        assert kind(llm.chat(ASK, tool_choice="none", **options)) == "answer"


def test_after_thoughts() -> None:
    """What the model thinks is free, within its budget; what follows it is held."""
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=THINKS) as llm:
        result = llm.chat(
            ASK, tools=[LOOK], response_schema=ANSWER, max_tokens=240, thinking_budget=8
        )
    assert result.reasoning
    assert kind(result) in ("call", "answer")


@pytest.mark.parametrize("name", ["harmony (gpt-oss)", "messages to a tool (Muse)"])
def test_with_headers_before_everything(name: str, tmp_path: Path) -> None:
    """Where thoughts and answers have headers: a schema alone, beside tools, and calls."""
    try:
        models_folder()
    except Exception as error:
        pytest.skip(f"the source archive cannot be had: {error}")
    family = FAMILIES[name].write(tmp_path / "family.gguf")
    with LongContextLLM(family, 4096, n_threads=1) as llm:
        options: Any = {"max_tokens": 240, "thinking_budget": 4, "temperature": 1.0, "seed": 3}
        assert kind(llm.chat(ASK, response_schema=ANSWER, **options)) == "answer"
        options["tools"] = [LOOK]
        assert (
            kind(llm.chat(ASK, tool_choice="none", response_schema=ANSWER, **options)) == "answer"
        )
        assert kind(llm.chat(ASK, response_schema=ANSWER, **options)) in ("answer", "call")
        assert kind(llm.chat(ASK, tool_choice="required", **options)) == "call"
        assert not llm.chat(ASK, tool_choice="none", **options | {"max_tokens": 9}).tool_calls
