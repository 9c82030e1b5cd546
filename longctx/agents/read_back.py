"""The built-in tool by which a model reads what was taken out of a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from longctx.agents.tools import Tool
from longctx.agents.view import Transcript
from longctx.errors import ToolError

MAX_CHARACTERS = 8000


def read_result_tool(transcript: Callable[[], Transcript]) -> Tool:
    """Make the tool ``read_result(id, start, n)`` over a transcript, which has every result whole.

    Args:
        transcript: the conversation as it is when the tool is called.
    """

    def read_result(
        id: str,
        start: Annotated[int, Field(ge=0)] = 0,
        n: Annotated[int, Field(ge=1, le=MAX_CHARACTERS)] = 2000,
    ) -> str:
        """Read n characters, from start on, of an earlier tool result that is not shown whole."""
        results = {m.tool_call_id: m.content for m in transcript() if m.role == "tool"}
        if id not in results:
            newest = ", ".join(str(key) for key in list(results)[-10:]) or "none"
            raise ToolError(f"there is no result {id!r}; the newest are: {newest}")
        text = results[id]
        if start >= len(text) > 0:
            raise ToolError(f"start is {start}, and the result of {id} has {len(text)} characters")
        end = min(len(text), start + n)
        return f"[characters {start:,} to {end:,} of {len(text):,}]\n{text[start:end]}"

    return Tool(read_result)
