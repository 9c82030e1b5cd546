"""A prompt that was rendered and counted once."""

from __future__ import annotations

from dataclasses import dataclass

from longctx.tokens.chat_template import RenderedPrompt
from longctx.types import ToolSchema


@dataclass(frozen=True)
class Prompt:
    """What a conversation comes to in the cache; calls take it in place of the messages.

    Attributes:
        rendered: its text and token ids.
        tools: what the model may call.
        pinned: tokens at the front that a window which slides keeps: system messages and tools.
        n_added: tokens that the model puts around a plain text, and ``count()`` of it has not.
    """

    rendered: RenderedPrompt
    tools: tuple[ToolSchema, ...] = ()
    pinned: int = 0
    n_added: int = 0

    @property
    def ids(self) -> list[int]:
        """The token ids that are prefilled."""
        return self.rendered.ids

    @property
    def n_tokens(self) -> int:
        """How many they are."""
        return len(self.rendered.ids)
