"""An MCP server that asks: for the user's word, for a text of the client's model, for folders."""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.server.mcpserver import Elicit, ListRoots, MCPServer, Resolve, Sample
from mcp.types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

server: MCPServer[None] = MCPServer("asking", log_level="ERROR")


class Trip(BaseModel):
    """Where to, and with how many."""

    city: str
    guests: int
    by: Literal["train", "ship"] = "train"


def ask_trip() -> Elicit[Trip]:
    """Ask the user."""
    return Elicit("Where to?\x1b[2J", Trip)


def ask_model(text: str) -> Sample:
    """Ask the model."""
    said = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return Sample([said], max_tokens=9_000, system_prompt="Be brief.", temperature=0.0)


def ask_roots() -> ListRoots:
    """Ask for folders."""
    return ListRoots()


@server.tool()
def book(trip: Annotated[Trip, Resolve(ask_trip)]) -> str:
    """Book a trip."""
    return f"{trip.guests} to {trip.city} by {trip.by}"


@server.tool()
def sum_up(text: str, answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    """Sum up a text."""
    return f"{answer.stop_reason}: {answer.content.text}"


@server.tool()
def where(roots: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
    """Say where it may work."""
    return ", ".join(str(root.uri) for root in roots.roots)


@server.prompt(description="Plan a trip.")
def plan(city: str, by: str = "train") -> list[dict[str, str]]:
    """A conversation that has begun."""
    return [
        {"role": "user", "content": "I like ships."},
        {"role": "assistant", "content": "So do I."},
        {"role": "user", "content": f"Plan a trip to {city} by {by}."},
    ]


if __name__ == "__main__":
    server.run()
