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
        text: the messages; or what has no chat template, plain text or a list of token ids.
        options: of :meth:`~longctx.llm.LongContextLLM.stream_chat`, or of ``stream``.
        model: the name that the client gave; None means the one there is.
        effort: thinking as far as the model has it: False, or how much; None says nothing.
        stream: whether it is sent while it is written.
        fills_window: where ``max_tokens`` is more than the window has left, the answer may take
            what is left; by default that is refused.
        ignored: fields of the request that have no effect here, which its client is told.
    """

    text: tuple[Message, ...] | str | list[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    effort: bool | str | None = None
    stream: bool = False
    fills_window: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation; none where a text is to be continued."""
        return self.text if isinstance(self.text, tuple) else ()
