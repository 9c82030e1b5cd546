"""Prompts of MCP servers, by what is typed in a chat."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from longctx.errors import RequestError
from longctx.types import Message

if TYPE_CHECKING:
    from longctx.agents import McpTools
    from longctx.mcp import RemotePrompt


def listed(servers: Sequence[McpTools]) -> str:
    """Every prompt in a line, with the arguments that it takes."""
    lines = [
        f"{prompt.name}{_takes(prompt)}{': ' if prompt.description else ''}"
        f"{' '.join(prompt.description.split())}"[:300]
        for server in servers
        for prompt in server.prompts()
    ]
    return "\n".join(lines) or "there are no prompts; --mcp brings those of a server"


def filled_in(servers: Sequence[McpTools], typed: str) -> list[Message]:
    """A prompt's messages, those of one role in a row as one.

    Args:
        servers: are looked through, in their order; ``server:name`` names one of them.
        typed: ``name key=value …``, values in quotation marks where they have blanks.

    Raises:
        RequestError: there is no such prompt, an argument is missing or unknown, or its last words
            are not the user's.
        LongCtxError: the server failed.
    """
    try:
        name, *pairs = shlex.split(typed)
    except ValueError as error:
        raise RequestError(f"{typed!r} cannot be read ({error}); close the mark") from error
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise RequestError(f"{wrong[0]!r} is no key=value; put values with blanks in quotes")
    values = dict(pair.split("=", 1) for pair in pairs)
    server, prompt = _found(servers, name)
    takes = (*prompt.required, *prompt.optional)
    if unknown := [key for key in values if key not in takes]:
        raise RequestError(f"{prompt.name} takes no {unknown[0]!r}; it takes:{_takes(prompt)}")
    if missing := [key for key in prompt.required if key not in values]:
        raise RequestError(f"{prompt.name} wants {missing[0]}=…; it takes:{_takes(prompt)}")
    said = [
        Message(role=role, content="\n\n".join(message.content for message in messages))
        for role, messages in groupby(
            server.prompt(prompt.name, **values), key=lambda message: message.role
        )
    ]
    if not said or said[-1].role != "user":
        raise RequestError(f"{prompt.name} does not end with words of the user's; nothing was said")
    return said


def _found(servers: Sequence[McpTools], name: str) -> tuple[McpTools, RemotePrompt]:
    for server in servers:
        for prompt in server.prompts():
            if name in (prompt.name, f"{server.name}:{prompt.name}"):
                return server, prompt
    raise RequestError(f"there is no prompt {name!r}; /prompt lists them")


def _takes(prompt: RemotePrompt) -> str:
    needed = "".join(f" {name}=…" for name in prompt.required)
    return needed + "".join(f" [{name}=…]" for name in prompt.optional)
