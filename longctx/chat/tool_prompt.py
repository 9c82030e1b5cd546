"""Tools for models whose chat template knows none: described and answered in plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longctx.chat.tool_calls import call_to_json
from longctx.types import Message

_HEADER = (
    "You can call tools. To call one, answer with a JSON object alone and nothing else:\n"
    '{"name": "<name of the tool>", "arguments": {<its arguments>}}\n'
    "The result comes in the next message. When you need no tool, answer in words.\n"
    "\nTools:"
)


def describe_tools(tools: Sequence[dict[str, Any]]) -> str:
    """Return the text that tells a model which tools there are and how to call them."""
    lines = [_HEADER]
    for tool in tools:
        function = tool["function"]
        schema = json.dumps(function["parameters"], ensure_ascii=False)
        lines.append(f"- {function['name']}: {function['description']}\n  arguments: {schema}")
    return "\n".join(lines)


Escape = Callable[[str], str]
"""Writes a text so that nothing in it passes for markup, as JSON may (``\\u003c``)."""


def spell_out_tools(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]], escape: Escape = str
) -> list[Message]:
    """Rewrite a conversation so that it needs neither tools nor the role ``tool``.

    Args:
        messages: the conversation.
        tools: checked definitions; none leaves only calls and results to rewrite.
        escape: of the names and arguments of calls, which are words of the assistant's here.

    Returns:
        Messages without the role ``tool``: the description at the end of the system message,
        calls as JSON text, results as what the user says next.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    out: list[Message] = []
    after_result = False
    for message in messages:
        spelt = _spell_out(message, names, escape)
        is_result = message.role == "tool"
        # Templates want user and assistant alternating, so what follows a result joins it.
        if out and out[-1].role == spelt.role == "user" and (is_result or after_result):
            out[-1] = _with_content(spelt, f"{out[-1].content}\n\n{spelt.content}")
        else:
            out.append(spelt)
        after_result = is_result
    if tools:
        text = describe_tools(tools)
        if out and out[0].is_system:
            out[0] = _with_content(out[0], f"{out[0].content}\n\n{text}")
        else:
            out.insert(0, Message(role="system", content=text))
    return out


def _spell_out(message: Message, names: Mapping[str, str], escape: Escape) -> Message:
    if message.role == "tool":
        name = message.name or names.get(message.tool_call_id or "", "the tool")
        return Message(role="user", content=f"Result of {name}:\n{message.content}")
    if message.tool_calls:
        calls = "\n".join(call_to_json(call, escape) for call in message.tool_calls)
        content = f"{message.content}\n{calls}" if message.content else calls
        return message.model_copy(update={"content": content, "tool_calls": ()})
    return message


def _with_content(message: Message, content: str) -> Message:
    return message.model_copy(update={"content": content})
