"""Agents: a conversation that calls tools, on a window that grows with it.

::

    user → transcript → policy (what is shown) → model → tool calls → results → model → answer

They know :class:`longctx.protocols.ChatModel` and nothing below it.
"""

from longctx.agents import policies
from longctx.agents.agent import Agent
from longctx.agents.context import AgentContext
from longctx.agents.events import (
    AgentResult,
    CacheLost,
    Compacted,
    Done,
    Event,
    ReasoningDelta,
    Recalled,
    TextDelta,
    ToolResult,
    WindowGrown,
    WindowShrunk,
)
from longctx.agents.store import ConversationInfo, ConversationStore
from longctx.agents.tools import Tool, tool
from longctx.types import ToolCall

__all__ = [
    "Agent",
    "AgentContext",
    "AgentResult",
    "CacheLost",
    "Compacted",
    "ConversationInfo",
    "ConversationStore",
    "Done",
    "Event",
    "ReasoningDelta",
    "Recalled",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolResult",
    "WindowGrown",
    "WindowShrunk",
    "policies",
    "tool",
]
