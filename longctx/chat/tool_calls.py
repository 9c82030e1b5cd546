"""Calls of tools, read out of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Literal, TypeAlias

from longctx.arguments import tools as check_tools
from longctx.types import ToolCall

__all__ = [
    "HERMES_CLOSE",
    "HERMES_OPEN",
    "CallFormat",
    "call_to_json",
    "check_tools",
    "parse_tool_calls",
]

CallFormat: TypeAlias = Literal["json", "hermes"]
"""``json``: the call object alone. ``hermes``: between ``<tool_call>`` and ``</tool_call>``."""

HERMES_OPEN, HERMES_CLOSE = "<tool_call>", "</tool_call>"
_HERMES = re.compile(rf"{HERMES_OPEN}(.*?)(?:{HERMES_CLOSE}|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


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
