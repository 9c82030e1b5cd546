"""What a client wants, in the one form that every protocol's requests come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longctx.types import Message


@dataclass(frozen=True)
class Asked:
    """A conversation to answer, or a text to continue.

    Attributes:
        text: the messages, or plain text that has no chat template.
        options: of :meth:`~longctx.llm.LongContextLLM.stream_chat`, or of ``stream``.
        model: the name that the client gave; None means the one there is.
        effort: thinking as far as the model has it: False, or how much; None says nothing.
        stream: whether it is sent while it is written.
        fills_window: where ``max_tokens`` is more than the window has left, the answer may take
            what is left; by default that is refused.
    """

    text: tuple[Message, ...] | str
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    effort: bool | str | None = None
    stream: bool = False
    fills_window: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation; none where a text is to be continued."""
        return () if isinstance(self.text, str) else self.text
