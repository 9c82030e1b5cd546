"""Conversations that the template tests share."""

from __future__ import annotations

from typing import Any

SYSTEM = {"role": "system", "content": "Be brief."}
HARMLESS: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello  there, 12 things:\n\n- a\n- b  "},
    {"role": "assistant", "content": "Hi! It's 3 o'clock."},
    {"role": "user", "content": "> a quote [1], <b>bold</b> and 日本語 😀"},
]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Search the notes.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to look for."}},
            "required": ["query"],
        },
    },
}


def with_call(arguments: dict[str, Any], result: str) -> list[dict[str, Any]]:
    """A question, a call of :data:`TOOL`, and its result."""
    function = {"name": "find", "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    return [
        {"role": "user", "content": "Find x."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": result},
    ]
