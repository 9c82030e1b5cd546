"""Tools in OpenAI's form: checked on the way in, their calls read on the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from longctx.errors import ToolError
from longctx.types import ToolCall, ToolSchema

CallFormat: TypeAlias = Literal["json", "hermes"]
"""``json``: the call object alone. ``hermes``: between ``<tool_call>`` and ``</tool_call>``."""

HERMES_OPEN, HERMES_CLOSE = "<tool_call>", "</tool_call>"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HERMES = re.compile(rf"{HERMES_OPEN}(.*?)(?:{HERMES_CLOSE}|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def check_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """Validate tool definitions and complete them.

    Args:
        tools: ``{"type": "function", "function": {"name", "description", "parameters"}}``;
            the inner object alone is accepted too.

    Returns:
        The same tools, each with a description and an object schema of parameters.

    Raises:
        ToolError: a definition is malformed, or two share a name.
    """
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise ToolError(f"tools must be a list of tool definitions, not {type(tools).__name__}")
    out = [_check_tool(index, tool) for index, tool in enumerate(tools)]
    names = [tool["function"]["name"] for tool in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ToolError(f"{len(twice)} tool names occur twice: {', '.join(twice)}; rename one")
    return out


def _check_tool(index: int, tool: Any) -> dict[str, Any]:
    where = f"tools[{index}]"
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        raise ToolError(
            f"{where} is no tool: pass {{'type': 'function', 'function': {{'name': …, "
            "'description': …, 'parameters': JSON schema}}"
        )
    name = function.get("name")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ToolError(
            f"{where} has the name {name!r}; it needs 1 to 64 letters, digits, '_', '-' or '.'"
        )
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise ToolError(f"{where} ({name}): description must be text")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not (isinstance(parameters, Mapping) and parameters.get("type", "object") == "object"):
        raise ToolError(
            f"{where} ({name}): parameters must be a JSON schema of type 'object', "
            f"not {parameters!r:.80}"
        )
    try:
        json.dumps(parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"{where} ({name}): parameters are not JSON ({error})") from error
    return {
        "type": "function",
        "function": {
            **function,
            "description": description,
            "parameters": {"type": "object", "properties": {}, **parameters},
        },
    }


def call_to_json(call: ToolCall) -> str:
    """Write a call as the JSON object that the model is asked for."""
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)


def parse_tool_calls(text: str, tool_names: Collection[str]) -> list[ToolCall] | None:
    """Read the calls out of an answer.

    Args:
        text: what the model wrote: Hermes' ``<tool_call>`` blocks, or one JSON object (or a
            list of them) alone, in a code fence or not.
        tool_names: the tools that were offered.

    Returns:
        The calls, numbered ``call_1``, ``call_2``, …; None when the text is no call of these
        tools, and is an answer in words.
    """
    blocks = _HERMES.findall(text)
    if not blocks:
        fenced = _FENCE.fullmatch(text.strip())
        blocks = [fenced.group(1) if fenced else text]
    found: list[tuple[str, dict[str, Any]]] = []
    for block in blocks:
        try:
            value = json.loads(block)
        except (ValueError, RecursionError):
            return None
        for item in value if isinstance(value, list) else [value]:
            call = _read_call(item, tool_names)
            if call is None:
                return None
            found.append(call)
    return [
        ToolCall(id=f"call_{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(found, 1)
    ] or None


def _read_call(item: Any, tool_names: Collection[str]) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(item, dict) or item.get("name") not in tuple(tool_names):
        return None
    # Llama 3's own format says "parameters".
    arguments = item.get("arguments", item.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    return (item["name"], arguments) if isinstance(arguments, dict) else None
