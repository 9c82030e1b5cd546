"""Tools for models whose chat template knows none: described and answered in plain text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from longctx.tokens.tool_calls import call_to_json
from longctx.types import Message, Role

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


def spell_out_tools(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, system_role: bool
) -> list[Message]:
    """Rewrite a conversation so that it needs neither tools nor the role ``tool``.

    Args:
        messages: the conversation.
        tools: checked definitions; none leaves only calls and results to rewrite.
        system_role: whether the template takes system messages. If not, the description
            stands at the head of the first user message.

    Returns:
        Messages of the roles system, user and assistant: calls as JSON text, results as what
        the user says next.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    out: list[Message] = []
    for message in messages:
        if message.role == "tool":
            name = message.name or names.get(message.tool_call_id or "", "the tool")
            result = Message(role="user", content=f"Result of {name}:\n{message.content}")
            after_result = out and out[-1].role == "user"
            _append(out, result, join=bool(after_result))
        elif message.tool_calls:
            calls = "\n".join(map(call_to_json, message.tool_calls))
            content = f"{message.content}\n{calls}" if message.content else calls
            out.append(Message(role="assistant", content=content))
        else:
            out.append(message)
    if tools:
        text = describe_tools(tools)
        role: Role = "system" if system_role else "user"
        if out and out[0].role == role:
            out[0] = out[0].model_copy(update={"content": _join(out[0].content, text, role)})
        else:
            out.insert(0, Message(role=role, content=text))
    return out


def _append(out: list[Message], message: Message, *, join: bool) -> None:
    if join:
        content = f"{out[-1].content}\n\n{message.content}"
        out[-1] = out[-1].model_copy(update={"content": content})
    else:
        out.append(message)


def _join(content: str, tools: str, role: str) -> str:
    return f"{content}\n\n{tools}" if role == "system" else f"{tools}\n\n{content}"
