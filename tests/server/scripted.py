"""A model whose answers are written down, served as a real one is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from longctx import LongContextLLM, Message, ToolCall
from longctx.chat import EncodedPrompt
from longctx.stream import Stream
from longctx.testing import Reply, ScriptedChatModel
from tests.server.live_server import LiveServer, serving

CALLS = (
    ToolCall(id="call_1", name="weather", arguments={"city": "Rome"}),
    ToolCall(id="call_2", name="weather", arguments={"city": "Oslo", "days": [1, 2]}),
)
THOUGHT = Message(
    role="assistant",
    content="I look it up.",
    reasoning="The user asks for two cities.",
    tool_calls=CALLS,
)
"""An answer with everything that one can have."""


class Scripted:
    """A real model, except that what it answers stands in a script.

    ``fake`` notes what it is asked.
    """

    def __init__(self, llm: LongContextLLM, replies: Sequence[Reply]) -> None:
        self._llm = llm
        self.fake = ScriptedChatModel(replies)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def prompt(self, messages: Any, tools: Any = None, **_switches: Any) -> EncodedPrompt:
        """The real model's, whose template need not have the switches that a test asks for."""
        return self._llm.prompt(messages, tools)

    def stream_chat(self, messages: Any, **options: Any) -> Stream:
        """The next answer."""
        return self.fake.stream_chat(messages, **options)


@contextmanager
def scripted(
    llm: LongContextLLM, replies: Sequence[Reply]
) -> Iterator[tuple[LiveServer, ScriptedChatModel]]:
    """A server of such a model, and the model."""
    model = Scripted(llm, replies)
    with serving(model, model_id="tiny") as live:
        yield live, model.fake
