"""Tools in the prompt, and calls out of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from longctx._native import json_schema_to_grammar
from longctx.errors import ToolError
from longctx.protocols import ToolChoice
from longctx.types import ToolCall, ToolSchema

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HERMES = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def check_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """Validate OpenAI-style tool schemas.

    Raises:
        ToolError: one is malformed, or two share a name.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Sequence):
        raise ToolError(f"tools must be a list of schemas, not {type(tools).__name__}")
    checked: list[dict[str, Any]] = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str):
            raise ToolError(
                f"tools[{index}] is no tool schema; it must be {{'type': 'function', 'function': "
                "{'name': …, 'description': …, 'parameters': {a JSON schema}}}"
            )
        if not _NAME.fullmatch(name):
            raise ToolError(f"the tool name {name!r} must be 1 to 64 of A-Z a-z 0-9 _ . -")
        if any(name == other["function"]["name"] for other in checked):
            raise ToolError(f"two tools are called {name!r}; rename one")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping):
            raise ToolError(f"the parameters of {name!r} must be a JSON schema of an object")
        checked.append(
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": str(function.get("description") or ""),
                    "parameters": dict(parameters),
                },
            }
        )
    return checked


def describe_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Tell a model about tools in words, where its template does not."""
    lines = [
        "You can call these tools. To call one, answer with a JSON object alone: "
        '{"name": "<tool>", "arguments": {…}}. Its result comes in the next message.'
    ]
    for tool in tools:
        function = tool["function"]
        schema = json.dumps(function["parameters"], ensure_ascii=False)
        lines.append(f"- {function['name']}: {function['description']} Arguments: {schema}")
    return "\n".join(lines)


def call_text(function: Mapping[str, Any]) -> str:
    """A call as the grammar writes it."""
    call = {"name": function["name"], "arguments": function["arguments"]}
    return json.dumps(call, ensure_ascii=False)


def result_text(turn: Mapping[str, Any]) -> str:
    """A tool's result in words."""
    name = turn.get("name")
    return f"Result of {name}: {turn['content']}" if name else f"Result: {turn['content']}"


def tool_grammar(tools: Sequence[ToolSchema], tool_choice: ToolChoice) -> str:
    """A GBNF grammar that holds an answer to the tools.

    ``"auto"`` allows a call, or any text that does not begin like one; ``"required"`` and a
    function by name allow a call alone.

    Raises:
        ToolError: a schema or the choice is wrong.
    """
    checked = check_tools(tools)
    names = [tool["function"]["name"] for tool in checked]
    wanted = _wanted(tool_choice, names)
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": tool["function"]["parameters"],
            },
            "required": ["name", "arguments"],
        }
        for tool in checked
        if tool["function"]["name"] in wanted
    ]
    definitions: dict[str, Any] = {}
    for call in calls:
        definitions.update(call["properties"]["arguments"].get("$defs", {}))
    schema: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    if definitions:
        schema = {**schema, "$defs": definitions}
    grammar = json_schema_to_grammar(schema)
    if tool_choice != "auto":
        return grammar
    renamed = re.sub(r"^root ::=", "call ::=", grammar, flags=re.MULTILINE)
    return f"root ::= call | [^{{] [^\\x00]*\n{renamed}"


def _wanted(tool_choice: ToolChoice, names: Sequence[str]) -> Sequence[str]:
    if tool_choice in ("auto", "required"):
        return names
    name = tool_choice.get("function", {}).get("name") if isinstance(tool_choice, Mapping) else None
    if name not in names:
        raise ToolError(
            f"tool_choice is {tool_choice!r}; use 'auto', 'none', 'required', or "
            "{'type': 'function', 'function': {'name': …}} with one of " + ", ".join(names)
        )
    return [str(name)]


def parse_tool_calls(text: str, tool_names: Sequence[str]) -> tuple[ToolCall, ...]:
    """Read the calls out of an answer: bare JSON, or Hermes' ``<tool_call>`` blocks.

    Returns:
        The calls, numbered ``call_1``…; none if the text is no call of a known tool.
    """
    blocks = _HERMES.findall(text) or [text]
    calls: list[ToolCall] = []
    for block in blocks:
        try:
            call = json.loads(block)
        except json.JSONDecodeError:
            return ()
        if not isinstance(call, dict) or call.get("name") not in tool_names:
            return ()
        arguments = call.get("arguments", {})
        if not isinstance(arguments, dict):
            return ()
        calls.append(ToolCall(id=f"call_{len(calls) + 1}", name=call["name"], arguments=arguments))
    return tuple(calls)
