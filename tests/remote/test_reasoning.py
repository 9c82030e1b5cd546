"""Thoughts and calls through our own server: what comes out is what the model told."""

from __future__ import annotations

from typing import Any

import pytest

from longctx import LongContextLLM, RequestError
from longctx.remote import RemoteLLM
from longctx.testing import ScriptedChatModel
from longctx.types import Chunk
from tests.server.scripted import CALLS, THOUGHT, scripted

HI: Any = [{"role": "user", "content": "Is it warm in Rome and in Oslo?"}]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def _told(chunks: list[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.result is None]


def test_a_stream_is_the_models_own(tiny_llm: LongContextLLM) -> None:
    """Chunk by chunk, over a socket; the message comes back as it was."""
    own = ScriptedChatModel([THOUGHT]).stream_chat(HI, tools=[WEATHER])
    with scripted(tiny_llm, [THOUGHT, "Yes."]) as (live, fake), RemoteLLM(live.url) as remote:
        there = list(remote.stream_chat(HI, tools=[WEATHER]))
        assert _told(there) == _told(list(own))
        answer = there[-1].result
        assert answer is not None
        assert answer.message == THOUGHT
        assert (answer.finish_reason, answer.usage.reasoning_tokens) == ("tool_calls", 7)
        results = [{"role": "tool", "tool_call_id": c.id, "content": "14 C"} for c in CALLS]
        remote.chat([*HI, answer.message, *results], tools=[WEATHER])
    assert fake.calls[1].messages[1] == THOUGHT


def test_options_reach_the_model(tiny_llm: LongContextLLM) -> None:
    """By the names that our server gives them."""
    with scripted(tiny_llm, ["Yes."] * 3) as (live, fake), RemoteLLM(live.url) as remote:
        remote.chat(HI, thinking=False, template_options={"city": "Rome"})
        remote.chat(HI, thinking="low")
        remote.chat(HI, tools=[WEATHER], parallel_tool_calls=False)
    first, second, third = (call.options for call in fake.calls)
    assert (first["thinking"], first["template_options"]) == (False, {"city": "Rome"})
    assert second["thinking"] == "low"
    assert third["parallel_tool_calls"] is False


def test_a_template_without_a_switch_refuses_it(remote: RemoteLLM) -> None:
    """As the model would here; a person asked for it by name."""
    with pytest.raises(RequestError, match="no switch"):
        remote.chat(HI, thinking=True)
