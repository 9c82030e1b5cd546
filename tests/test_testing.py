"""The public fake behaves as a model does."""

import json

import pytest

from longctx.errors import BackendError, ContextOverflowError
from longctx.protocols import ChatModel
from longctx.testing import ScriptedChatModel
from longctx.types import Message, ToolCall

HELLO = [{"role": "user", "content": "Hello, you!"}]


def test_it_is_a_chat_model():
    """It satisfies the protocol (mypy checks the signatures, this the behaviour)."""
    llm: ChatModel = ScriptedChatModel(["One two.", "Three."])
    assert llm.chat(HELLO).usage.prompt_tokens == llm.count(HELLO)
    *chunks, last = llm.stream_chat(HELLO)
    assert "".join(chunk.text for chunk in chunks) == last.result.text == "Three."


def test_it_reuses_the_common_prefix():
    """The second call pays for what is new."""
    llm = ScriptedChatModel(["a", "b"])
    llm.chat(HELLO)
    usage = llm.chat([*HELLO, {"role": "assistant", "content": "a"}]).usage
    assert usage.cached_tokens == llm.count(HELLO)
    assert usage.prefilled_tokens == usage.prompt_tokens - usage.cached_tokens


def test_a_message_is_thought_said_and_called():
    """It streams in that order, its arguments in pieces; thoughts are counted."""
    call = ToolCall(id="a", name="weather", arguments={"city": "Rome", "days": 2})
    reply = Message(role="assistant", content="I look.", reasoning="Warm? Yes.", tool_calls=(call,))
    *chunks, last = ScriptedChatModel([reply]).stream_chat(HELLO)
    assert last.result.message == reply
    assert last.result.usage.reasoning_tokens == 4
    assert last.result.usage.completion_tokens == 4 + 3
    kinds = [
        "thought" if chunk.reasoning else "said" if chunk.text else "called" for chunk in chunks
    ]
    assert kinds == sorted(kinds, key=["thought", "said", "called"].index)
    first, *rest = [piece for chunk in chunks for piece in chunk.tool_calls]
    assert (first.id, first.name, first.arguments) == ("a", "weather", "")
    assert json.loads("".join(piece.arguments for piece in rest)) == call.arguments


def test_it_refuses_what_does_not_fit():
    """To the token, and without using up a reply."""
    needed = ScriptedChatModel([]).count(HELLO) + 5
    with pytest.raises(ContextOverflowError):
        ScriptedChatModel(["a"], target_ctx=needed - 1).chat(HELLO, max_tokens=5)
    assert ScriptedChatModel(["a"], target_ctx=needed).chat(HELLO, max_tokens=5).text == "a"


def test_its_script_ends():
    """One call too many is an error, not an empty answer."""
    with pytest.raises(BackendError, match="script"):
        ScriptedChatModel([]).chat(HELLO)


def test_it_records_what_it_was_given():
    """Options that change nothing here can still be asserted."""
    llm = ScriptedChatModel(["a"])
    llm.chat(HELLO, temperature=0.5, tool_choice="none")
    assert llm.calls[0].options == {"temperature": 0.5}
    assert llm.calls[0].tool_choice == "none"
