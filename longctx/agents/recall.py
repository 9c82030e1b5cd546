"""The built-in tool by which a model finds what the window no longer has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from longctx.agents.archive import Passage
from longctx.agents.tools import Tool

NOTHING = "Nothing that was said earlier has these words; try others."


def recall_tool(find: Callable[[str, int], list[Passage]]) -> Tool:
    """Make the tool ``recall(query, n)``.

    Args:
        find: the n passages that fit a query best, as the conversation is when it is called.
    """

    def recall(query: str, n: Annotated[int, Field(ge=1, le=10)] = 3) -> str:
        """Find what was said or read earlier in this conversation and is no longer shown."""
        found = sorted(find(query, n), key=lambda passage: passage.turn)
        return "\n".join(map(str, found)) or NOTHING

    return Tool(recall)
