"""A prompt with its token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longctx.chat.chat_template import ChatTemplate, RenderedPrompt
from longctx.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt(Prompt):
    """What a conversation comes to in the cache.

    Attributes:
        rendered: its text and token ids.
        template: that rendered it, and knows how it is answered.
        pinned: tokens at the front that a window which slides keeps: system messages and tools.
        options: variables of the chat template that it was rendered with.
        n_added: tokens that the model puts around a plain text, and ``count()`` of it has not.
    """

    rendered: RenderedPrompt
    template: ChatTemplate
    pinned: int = 0
    options: Mapping[str, Any] | None = None
    n_added: int = 0

    @property
    def ids(self) -> list[int]:
        """The token ids that are prefilled."""
        return self.rendered.ids

    @property
    def text(self) -> str:
        """The text that it comes to, template and tools included."""
        return self.rendered.text
