"""Tools that a model may call, and whether it must."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from longctx.arguments.values import shown
from longctx.errors import ToolError

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_OBJECT = ("dict", "object")
"""As BFCL and Google write it, too."""
_IS_OBJECT = {"type": "object"}


def tools(value: Any) -> list[dict[str, Any]]:
    """Definitions of tools, completed.

    Args:
        value: a list of ``{"type": "function", "function": {"name", "description",
            "parameters"}}``; the inner object alone is accepted too.

    Returns:
        The same tools, each with a description and an object schema of parameters.

    Raises:
        ToolError: a definition is malformed, or two share a name.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise ToolError(f"tools must be a list of tool definitions, not {type(value).__name__}")
    out = [_check_tool(index, tool) for index, tool in enumerate(value)]
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
    if not (isinstance(name, str) and _TOOL_NAME.fullmatch(name)):
        raise ToolError(
            f"{where} has the name {name!r}; it needs 1 to 64 letters, digits, '_', '-' or '.'"
        )
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise ToolError(f"{where} ({name}): description must be text")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    kind = parameters.get("type") if isinstance(parameters, Mapping) else None
    if not (isinstance(parameters, Mapping) and str(kind or "object").lower() in _OBJECT):
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
            "parameters": {"type": "object", "properties": {}, **parameters, **_IS_OBJECT},
        },
    }


def tool_choice(choice: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Which tools an answer must call one of: none of them where it may do without.

    Args:
        choice: ``"auto"``, ``"none"``, ``"required"``, or one function in OpenAI's form.
        names: of the tools there are.

    Raises:
        ToolError: it is something else, or asks for a call where that tool is not there.
    """
    if isinstance(choice, str) and choice in ("auto", "none"):
        return ()
    if isinstance(choice, str) and choice == "required":
        if not names:
            raise ToolError("tool_choice is 'required' but no tools are given; pass tools=[…]")
        return tuple(names)
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if name is None or name not in names:
        raise ToolError(
            f"tool_choice is {shown(choice)}; use 'auto', 'none', 'required' or "
            f"{{'type': 'function', 'function': {{'name': …}}}} with a tool you pass "
            f"({', '.join(names) or 'none'})"
        )
    return (name,)
