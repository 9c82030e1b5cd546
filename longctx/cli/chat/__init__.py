"""``longctx chat``: lines come in, are said to an agent, and what it does is shown."""

from longctx.cli.chat.command import chat

__all__ = ["chat"]
