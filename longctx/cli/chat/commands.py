"""The commands of a chat, and what they are said to do."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ChatCommand:
    """A line that is not said to the model.

    Attributes:
        name: with its slash.
        text: what ``/help`` says of it.
        argument: what follows the name; empty where nothing does.
    """

    name: str
    text: str
    argument: str = ""


COMMANDS = (
    ChatCommand("/context", "what stands in the window, by section"),
    ChatCommand("/retry", "ask the last question again, in place of its answer"),
    ChatCommand("/undo", "take back the last question and its answer"),
    ChatCommand("/clear", "begin a new conversation"),
    ChatCommand("/prompt", "say a prompt of an MCP server; alone, list them", "NAME key=value"),
    ChatCommand("/save", "write the conversation (JSON, and its KV cache beside it)", "FILE"),
    ChatCommand("/load", "go on with a conversation from a file", "FILE"),
    ChatCommand("/help", "this"),
    ChatCommand("/exit", "the end; so is Ctrl-D. Ctrl-C stops an answer"),
)
EXITS = ("/exit", "/quit")
_KEYS = """\
Alt-Enter, or a backslash before Enter, begins a new line; pasted lines are one message.
Up, Down and Ctrl-R find what was typed before; Tab completes commands and files;
Ctrl-X Ctrl-E opens $EDITOR."""
_NAME = re.compile(r"/[a-z]+(?!\S)")


def help_text(*, keys: bool) -> str:
    """What can be typed besides messages.

    Args:
        keys: name the keys of the prompt, too.
    """
    rows = [f"{f'{each.name} {each.argument}':<24}{each.text}" for each in COMMANDS]
    return "\n".join([*rows, _KEYS] if keys else rows)


def command_of(message: str) -> tuple[str, str] | None:
    """The name and the argument of a command; None is a message, as of several lines, or a path."""
    found = _NAME.match(message)
    if found is None or "\n" in message:
        return None
    return found[0], message[found.end() :].strip()
