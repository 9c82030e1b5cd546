"""Calls of tools, as text for models that are told of them in words."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from longctx import arguments
from longctx.errors import RequestError
from longctx.grammar.meaning import meant
from longctx.types import ToolCall

__all__ = ["call_to_json", "check_tools", "escaped", "say_of_tool"]

logger = logging.getLogger("longctx")


def check_tools(value: Any) -> list[dict[str, Any]]:
    """Definitions of tools, completed, with schemas as they were meant; what was not so is logged.

    Args:
        value: as of :func:`longctx.arguments.tools`.

    Raises:
        ToolError: a definition is malformed, or two share a name.
    """
    return [_as_meant(tool) for tool in arguments.tools(value)]


def _as_meant(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    try:
        found = meant(function["parameters"])
    except (RequestError, TypeError, ValueError):
        return tool  # what is no schema is refused where calls are held to it
    if not isinstance(found.schema, Mapping):
        return tool
    for note in found.notes:
        say_of_tool(function["name"], note)
    parameters = {**found.schema, "properties": found.schema.get("properties", {})}
    return {**tool, "function": {**function, "parameters": parameters}}


@lru_cache(maxsize=1_000)
def say_of_tool(name: str, text: str) -> None:
    """Log something of a tool's schema once, and not with every answer."""
    logger.warning("the parameters of the tool %s, %s", name, text)


def call_to_json(call: ToolCall, escape: Callable[[str], str] = str) -> str:
    """Write a call as the JSON object that the model is asked for.

    Args:
        call: a tool's.
        escape: puts :func:`escaped` in the place of characters that must not stand there.
    """
    tree = _with_texts({"name": call.name, "arguments": call.arguments}, escape)
    text = json.dumps(tree, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]) - _AWAY:04x}", text)


_AWAY = 0xF0000
"""Into a private plane, from where JSON's own escape brings a character back."""
_ESCAPED = re.compile("[\U000f0000-\U000f00ff]")


def escaped(char: str) -> str:
    """What becomes the JSON escape of a character, of the first 256."""
    return chr(ord(char) + _AWAY) if ord(char) < 256 else char


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_with_texts(k, change): _with_texts(v, change) for k, v in value.items()}
    return [_with_texts(v, change) for v in value] if isinstance(value, list) else value
