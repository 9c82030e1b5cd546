"""A model whose answers have no end, so that a test decides when they do."""

from __future__ import annotations

import threading
from typing import Any

from longctx import LongContextLLM
from longctx.channel import Cancelled, Channel
from longctx.stream import Event, Stream
from longctx.types import Chunk

ENDLESS: Any = [{"role": "user", "content": "Talk without end."}]
SHORT: Any = [{"role": "user", "content": "Be brief."}]


class EndlessLLM:
    """A real model, except that what :data:`ENDLESS` asks goes on until it is closed.

    ``closed`` is set when such an answer was closed, ``n_started`` counts them.
    """

    def __init__(self, llm: LongContextLLM, pause_s: float = 0.01) -> None:
        self._llm = llm
        self._pause_s = pause_s
        self.closed = threading.Event()
        self.n_started = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def stream_chat(self, messages: Any, **options: Any) -> Stream:
        """As the model's, or without end."""
        if messages[-1].content == ENDLESS[0]["content"]:
            channel: Channel[Event] = Channel()
            self.n_started += 1
            threading.Thread(target=self._talk, args=(channel,), daemon=True).start()
            return Stream(channel)
        return self._llm.stream_chat(messages, **options)

    def _talk(self, channel: Channel[Event]) -> None:
        try:
            while True:
                channel.send(Chunk(text="on and "))
                threading.Event().wait(self._pause_s)
        except Cancelled:
            self.closed.set()
