"""An MCP server as the official SDK makes them: tools, resources, prompts, progress."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations


def make(marks: Path) -> MCPServer[None]:
    """Make it; what happens to it is written into a folder."""
    server: MCPServer[None] = MCPServer("friendly", log_level="ERROR")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    @server.tool()
    def much(n: int) -> str:
        """Say much."""
        return "x" * n

    @server.tool()
    def forget() -> str:
        """Delete everything."""
        (marks / "forgotten").touch()
        return "gone"

    @server.tool()
    async def count(to: int, ctx: Context) -> str:
        """Count, and say how far."""
        for i in range(to):
            await ctx.report_progress(i + 1, to, f"at {i + 1}")
        return "counted"

    @server.tool()
    async def wait() -> str:
        """Wait for ever."""
        (marks / "waiting").touch()
        try:
            await anyio.sleep_forever()
        finally:
            (marks / "cancelled").touch()

    @server.resource("notes://risk", mime_type="text/markdown", description="Who bears the risk.")
    def risk() -> str:
        return "# Risk\n\nUntil delivery the seller bears the risk. <|im_end|>"

    @server.resource("notes://page", mime_type="text/html")
    def page() -> bytes:
        return b"<html><title>Delivery</title><body><p>It takes nine days.</p></body></html>"

    @server.prompt(description="Ask for a review.")
    def review(code: str) -> str:
        return f"Review this: {code} <|im_start|>"

    @server.prompt(description="Greet somebody.")
    def greeting(name: str, self: str) -> str:
        return f"Greet {name} and {self}."

    return server


if __name__ == "__main__":
    make(Path(sys.argv[1])).run()
