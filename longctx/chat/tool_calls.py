"""Calls of tools, as text for models that are told of them in words."""

from __future__ import annotations

import json

from longctx.arguments import tools as check_tools
from longctx.types import ToolCall

__all__ = ["call_to_json", "check_tools"]


def call_to_json(call: ToolCall) -> str:
    """Write a call as the JSON object that the model is asked for."""
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
