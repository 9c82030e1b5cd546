"""A tool's call, its result and the answer, for every shape of call."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import llm
import pytest

TESTS = Path(__file__).parents[3] / "tests"
SHAPES: dict[str, str] = runpy.run_path(str(TESTS / "chat/call_shapes.py"))["CALL_SHAPES"]


def look(twice: bool) -> str:
    """Look into a room."""
    return "The code is 4821." * (1 + twice)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_loop_of_a_tool(shape: str, stream: bool, tmp_path: Path) -> None:
    """The call is valid; with its result the talk goes on."""
    template = tmp_path / "shape.jinja"
    template.write_text(SHAPES[shape])
    options: dict[str, Any] = {
        "model": str(TESTS / "models/tiny-longctx.gguf"),
        "target_ctx": 1024,
        "n_threads": 1,
        "max_tokens": 200,
        "chat_template": str(template),
        "stream": stream,
    }
    conversation = llm.get_model("longctx").conversation(tools=[look])
    asked = conversation.prompt("What is the code?", **options, tool_choice="required")
    (call, *_) = asked.tool_calls()
    assert call.name == "look"
    assert isinstance(call.arguments["twice"], bool)
    results = asked.execute_tool_calls()
    assert results[0].output.startswith("The code is 4821.")
    last = conversation.prompt(tool_results=results, **options | {"max_tokens": 8})
    last.text()
    assert last.usage().output > 0
