"""Servers of the Model Context Protocol: their tools, resources and prompts, as plain text.

::

    a command or a URL → Connection (the official SDK, in a thread of its own) → McpServer

What a server says is as inert as a document: a name that is none is refused, other text is text.
The SDK is the extra ``mcp``, and is imported where a server is opened.
"""

from longctx.mcp.asked import Ask, ServerQuestion
from longctx.mcp.changes import Followed
from longctx.mcp.remote import Refused, RemotePrompt, RemoteResource, RemoteTool
from longctx.mcp.server import McpServer, McpSettings

__all__ = [
    "Ask",
    "Followed",
    "McpServer",
    "McpSettings",
    "Refused",
    "RemotePrompt",
    "RemoteResource",
    "RemoteTool",
    "ServerQuestion",
]
