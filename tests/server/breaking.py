"""A model whose answers break off."""

from __future__ import annotations

from typing import Any

from longctx import BackendError, LongContextLLM
from longctx.channel import Channel
from longctx.stream import Event, Stream
from longctx.types import Chunk


class BreakingLLM:
    """A real model, except that its answers end after a word, with an error."""

    def __init__(self, llm: LongContextLLM) -> None:
        self._llm = llm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def stream_chat(self, _messages: Any, **_options: Any) -> Stream:
        """A word, and no more."""
        channel: Channel[Event] = Channel()
        channel.send(Chunk(text="Half "))
        channel.fail(BackendError("the graphics card fell out"))
        return Stream(channel)
