"""What a server asks in the terminal: what may be chosen is shown, and answers have their types."""

from __future__ import annotations

from typing import Any

import pytest

from longctx.agents import ServerAsks
from longctx.cli.chat.server_question import answer_server
from longctx.mcp import ServerQuestion
from longctx.types import ToolCall

TITLED = [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]


@pytest.mark.parametrize(
    ("field", "hint", "answers"),
    [
        ({"type": "string", "enum": ["r", "b"]}, "one of r, b", {"r": "r"}),
        ({"type": "string", "oneOf": TITLED}, "one of r = Red, b = Blue", {"b": "b"}),
        (
            {"type": "array", "items": {"type": "string", "enum": ["r", "b"]}},
            "some of r, b",
            {"r": ["r"], "r, b": ["r", "b"]},
        ),
        ({"type": "array", "items": {"anyOf": TITLED}}, "some of r = Red, b = Blue", {"r": ["r"]}),
        ({"type": "boolean"}, "boolean", {"y": True, "No": False, "perhaps": "perhaps"}),
        # JSON has neither of the last two, and no number is a truth value.
        (
            {"type": "number"},
            "number",
            {"2.5": 2.5, "true": "true", "NaN": "NaN", "1e999": "1e999"},
        ),
    ],
)
def test_a_field(field: dict[str, Any], hint: str, answers: dict[str, Any]) -> None:
    """What is no answer goes to the server as it was typed: that refuses it."""
    question = ServerQuestion(server="s", message="Which?", fields={"self": field})
    for typed, value in answers.items():
        event = ServerAsks(call=ToolCall(id="1", name="x", arguments={}), question=question)
        asked: list[str] = []

        def ask(words: str, typed: str = typed, asked: list[str] = asked) -> str:
            asked.append(words)
            return typed

        answer_server(event, ask)
        assert asked == [f"self ({hint}): "]
        assert event.values == {"self": value}
