"""Two turns with a tool for every family of models, played from a script on a real engine."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import llm
import pytest

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
    """The first whole, the second streamed: llm runs the tool, and the answer has no marks."""
    family = played.FAMILIES[name]

    def look(room: str) -> str:
        """Look into a room."""
        return str(played.result_of({"room": room}))

    options: dict[str, Any] = {
        "model": str(family.write(tmp_path / "family.gguf")), "target_ctx": 8192, "n_threads": 1,
        "max_tokens": 400,
    }  # fmt: skip
    conversation = llm.get_model("longctx").conversation(tools=[look])
    with played.playing(family.replies()) as script:
        for room, question in zip(played.ROOMS, played.QUESTIONS, strict=True):
            stream = room == played.ROOMS[1]
            called = conversation.prompt(question, stream=stream, **options)
            (call,) = called.tool_calls()
            assert (call.name, call.arguments) == ("look", {"room": room})
            assert called.text().strip() == (played.WORDS if family.words else "")
            results = called.execute_tool_calls()
            said = conversation.prompt(tool_results=results, stream=stream, **options)
            assert said.text() == played.ANSWERS[room]
            assert said.response_json["finish_detail"] is None
            thoughts = []
            for each in (called, said):
                events = [e.chunk for e in each.stream_events() if e.type == "reasoning"]
                thoughts.append("".join(events).strip())
            assert tuple(thoughts) == family.reasoning
        assert script.left == []
        assert script.n_held > 20


def test_the_demo_model() -> None:
    """A real one, told to call: the call, its result, and words."""

    def look(twice: bool) -> str:
        """Look into a room."""
        return "The code is 4821. " * (1 + twice)

    options: dict[str, Any] = {
        "target_ctx": 2048, "max_tokens": 40, "temperature": 0.5, "min_p": 0.1, "seed": 1,
        "stream": False,
    }  # fmt: skip
    conversation = llm.get_model("longctx").conversation(tools=[look])
    called = conversation.prompt("What is the code?", tool_choice="required", **options)
    (call, *_) = called.tool_calls()
    assert isinstance(call.arguments["twice"], bool)
    results = called.execute_tool_calls()
    said = conversation.prompt(tool_results=results, tool_choice="none", **options)
    assert said.text()
