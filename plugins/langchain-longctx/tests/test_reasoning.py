"""Thoughts and calls, whole and while they are written, as LangChain's messages have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_longctx import ChatLongCtx
from langchain_longctx.messages import to_longctx

from longctx import Message, RequestError, ToolCall
from longctx.shared_models import shared_model
from longctx.stream import AsyncStream, Stream
from longctx.testing import Reply, ScriptedChatModel

CALL = ToolCall(id="call_1", name="look_up", arguments={"place": "Genoa", "days": [1, 2]})
THOUGHT = Message(
    role="assistant",
    content="I look it up.",
    reasoning="Genoa is a port, perhaps.",
    tool_calls=(CALL,),
)


class Scripted:
    """The real model, except that what it answers stands in a script."""

    def __init__(self, llm: Any, replies: list[Reply]) -> None:
        self._llm = llm
        self.fake = ScriptedChatModel(replies)
        self.chat = self.fake.chat
        self.stream_chat = self.fake.stream_chat

    def astream_chat(self, messages: Any, **options: Any) -> AsyncStream:
        """As the fake's."""

        def begin() -> Stream:
            return self.fake.stream_chat(messages, **options)

        return AsyncStream(begin, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)


@pytest.fixture
def scripted() -> Callable[..., tuple[ChatLongCtx, ScriptedChatModel]]:
    """``scripted(reply, …)``: a chat model that answers so, and what notes its calls."""

    def make(*replies: Reply) -> tuple[ChatLongCtx, ScriptedChatModel]:
        model = Scripted(shared_model(None, target_ctx=8192, reserve_output=64), list(replies))
        stands_in: Any = model
        return ChatLongCtx(opened=stands_in, max_tokens=16), model.fake

    return make


Make = Callable[..., tuple[ChatLongCtx, ScriptedChatModel]]


def test_a_whole_answer_and_the_turn_sent_again(scripted: Make) -> None:
    """In additional_kwargs, as other integrations have it; the count is in the usage."""
    chat, fake = scripted(THOUGHT, "Yes.")
    answer = chat.invoke("Is Genoa a port?")
    assert answer.text == THOUGHT.content
    assert answer.additional_kwargs == {"reasoning_content": THOUGHT.reasoning}
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_token_details"]["reasoning"] == 7
    chat.invoke([HumanMessage("Is it?"), answer, ToolMessage("Yes.", tool_call_id="call_1")])
    assert fake.calls[1].messages[1] == THOUGHT


def _check(pieces: list[Any]) -> None:
    streamed = sum(pieces[1:], start=pieces[0])
    assert isinstance(streamed, AIMessageChunk)
    assert streamed.text == THOUGHT.content
    assert streamed.additional_kwargs == {"reasoning_content": THOUGHT.reasoning}
    calls = [(call["id"], call["name"], call["args"]) for call in streamed.tool_calls]
    assert calls == [(CALL.id, CALL.name, CALL.arguments)]
    assert sum(bool(piece.tool_call_chunks) for piece in pieces) > 2
    assert sum(bool(piece.additional_kwargs) for piece in pieces) > 2
    assert streamed.usage_metadata is not None


def test_a_stream_tells_thoughts_and_calls_in_pieces(scripted: Make) -> None:
    """Put together they are the answer, and nothing is in it twice."""
    _check(list(scripted(THOUGHT)[0].stream("Is Genoa a port?")))


async def test_so_does_one_in_an_event_loop(scripted: Make) -> None:
    """The same pieces."""
    _check([piece async for piece in scripted(THOUGHT)[0].astream("Is Genoa a port?")])


def test_thoughts_of_other_integrations() -> None:
    """Blocks of reasoning are the turn's, by either name."""
    for block in (
        {"type": "thinking", "thinking": "Hm."},
        {"type": "reasoning", "reasoning": "Hm."},
    ):
        turn = AIMessage(content=[block, {"type": "text", "text": "Yes."}])
        assert to_longctx([turn]) == [Message(role="assistant", content="Yes.", reasoning="Hm.")]


def test_options_reach_the_model(scripted: Make) -> None:
    """Thinking of the object or of a call, and how many calls an answer may have."""
    chat, fake = scripted("Yes.", "Yes.")
    tool = {"name": "look_up", "description": "Look up.", "parameters": {"type": "object"}}
    chat.thinking = False
    chat.bind_tools([tool], parallel_tool_calls=False).invoke("Is it?")
    chat.thinking_budget = 64
    chat.invoke("Is it?", thinking="low", template_options={"city": "Rome"})
    assert fake.calls[0].options["thinking"] is False
    assert fake.calls[0].options["parallel_tool_calls"] is False
    assert fake.calls[1].options["thinking"] == "low"
    assert fake.calls[1].options["thinking_budget"] == 64
    with pytest.raises(RequestError, match="no switch"):  # the packaged model does not think
        ChatLongCtx(target_ctx=8192, max_tokens=16, reserve_output=64, thinking=True).invoke("Hi")


def test_a_model_that_is_open_already(scripted: Make) -> None:
    """It is used as it is; what would open another contradicts it."""
    chat, _ = scripted("Yes.")
    again = ChatLongCtx(opened=chat.llm)
    assert again.llm is chat.llm
    with pytest.raises(RequestError, match="leave out target_ctx"):
        ChatLongCtx(opened=chat.llm, target_ctx=512)
