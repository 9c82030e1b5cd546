"""A conversation that a server counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from longctx.prompt import Prompt
from longctx.remote.dialects import Conversation, Dialect


@dataclass(frozen=True, kw_only=True)
class RemotePrompt(Prompt):
    """Messages with their count by a server, which is asked for the rest when it is wanted.

    Attributes:
        body: the conversation as it is sent.
        dialect: of the server.
    """

    body: Conversation = field(repr=False)
    dialect: Dialect = field(repr=False, compare=False)

    @property
    def ids(self) -> list[int]:
        """The token ids that are prefilled there."""
        return self.dialect.chat_ids(self.body)

    @property
    def text(self) -> str:
        """The text that it comes to there."""
        return self.dialect.chat_text(self.body)
