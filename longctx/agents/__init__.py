"""Agents: a conversation that calls tools, on a window that grows with it.

::

    user → transcript → policy (what is shown) → model → tool calls → results → model → answer

They know :class:`longctx.protocols.ChatModel` and nothing below it.
"""

from longctx.agents import policies
from longctx.agents.agent import Agent
from longctx.agents.call_log import CallLog, LoggedCall
from longctx.agents.context import AgentContext
from longctx.agents.document_passages import document_background, document_tool
from longctx.agents.events import (
    AgentResult,
    CacheLost,
    Compacted,
    ConfirmCall,
    Done,
    Event,
    ReasoningDelta,
    Recalled,
    ServerAsks,
    ServerChanged,
    TextDelta,
    ToolProgress,
    ToolResult,
    ToolsChanged,
    WindowGrown,
    WindowShrunk,
)
from longctx.agents.limits import AgentRunOptions
from longctx.agents.mcp_tools import McpTools, mcp
from longctx.agents.running import RunningCall, running_call
from longctx.agents.store import ConversationInfo, ConversationStore
from longctx.agents.toolbox import ToolLike, ToolSource
from longctx.agents.tools import Tool, tool
from longctx.types import ToolCall

__all__ = [
    "Agent",
    "AgentContext",
    "AgentResult",
    "AgentRunOptions",
    "CacheLost",
    "CallLog",
    "Compacted",
    "ConfirmCall",
    "ConversationInfo",
    "ConversationStore",
    "Done",
    "Event",
    "LoggedCall",
    "McpTools",
    "ReasoningDelta",
    "Recalled",
    "RunningCall",
    "ServerAsks",
    "ServerChanged",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolLike",
    "ToolProgress",
    "ToolResult",
    "ToolSource",
    "ToolsChanged",
    "WindowGrown",
    "WindowShrunk",
    "document_background",
    "document_tool",
    "mcp",
    "policies",
    "running_call",
    "tool",
]
