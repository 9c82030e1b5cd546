"""An MCP server of the SDK's that changes what it offers, and says so to who listens."""

from __future__ import annotations

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import TextResource


def make() -> MCPServer[None]:
    """Make it."""
    server: MCPServer[None] = MCPServer("changing", log_level="ERROR")

    @server.tool()
    async def learn(name: str, ctx: Context) -> str:
        """Offer another tool from now on."""

        def learnt() -> str:
            return f"{name} was learnt"

        server.add_tool(learnt, name=name, description=f"Do {name}.")
        await ctx.notify_tools_changed()
        return "learnt"

    @server.tool()
    async def unlearn(name: str, ctx: Context) -> str:
        """Offer a tool no longer."""
        server.remove_tool(name)
        await ctx.notify_tools_changed()
        return "forgotten"

    @server.tool()
    async def write(name: str, ctx: Context) -> str:
        """Have another document and another prompt from now on."""
        server.add_resource(TextResource(uri=f"notes://{name}", name=name, text=f"About {name}."))
        server.add_prompt(Prompt.from_function(lambda: f"Say {name}.", name=name))
        await ctx.notify_resources_changed()
        await ctx.notify_prompts_changed()
        return "written"

    return server


if __name__ == "__main__":
    make().run()
