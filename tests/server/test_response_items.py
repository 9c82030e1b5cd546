"""Items of the Responses API are turns: what one answer is made of is one of them."""

from __future__ import annotations

from typing import Any

import pytest

from longctx import Message, ToolCall
from longctx.server.responses.items import ITEM, messages_of


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _said(text: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": parts}


def _thought(text: str, *, summary: bool = False) -> dict[str, Any]:
    if summary:
        return {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": text}],
        }
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": "rs", "summary": [], "content": content}


def _call(n: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{n}", "name": "t", "arguments": f'{{"n": {n}}}'}


def _result(n: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{n}", "output": f"r{n}"}


def _answer(text: str = "", reasoning: str = "", *calls: int) -> Message:
    made = tuple(ToolCall(id=f"c{n}", name="t", arguments={"n": n}) for n in calls)
    return Message(role="assistant", content=text, reasoning=reasoning, tool_calls=made)


def _tool(n: int) -> Message:
    return Message(role="tool", content=f"r{n}", tool_call_id=f"c{n}")


USER = Message(role="user", content="a")


@pytest.mark.parametrize(
    ("items", "turns"),
    [
        ([_user("a")], [USER]),
        ([_user("a"), _said("b"), _user("a")], [USER, _answer("b"), USER]),
        ([_said("b"), _said("c")], [_answer("b"), _answer("c")]),
        ([_thought("t"), _said("b"), _call(1)], [_answer("b", "t", 1)]),
        ([_thought("t", summary=True), _said("b")], [_answer("b", "t")]),
        ([_call(1), _call(2), _result(1), _result(2)], [_answer("", "", 1, 2), _tool(1), _tool(2)]),
        ([_said("b"), _call(1), _said("c"), _result(1)], [_answer("bc", "", 1), _tool(1)]),
        ([_thought("t"), _call(1), _thought("u"), _call(2)], [_answer("", "tu", 1, 2)]),
        ([_said("b"), _thought("t"), _said("c")], [_answer("b"), _answer("c", "t")]),
        (
            [_call(1), _result(1), _thought("t"), _call(2), _result(2), _said("b")],
            [_answer("", "", 1), _tool(1), _answer("", "t", 2), _tool(2), _answer("b")],
        ),
    ],
)
def test_items_are_turns(items: list[Any], turns: list[Message]) -> None:
    """Calls stay beside their results, thoughts before what they led to."""
    assert list(messages_of([ITEM.validate_python(item) for item in items])) == turns  # type: ignore[misc]
