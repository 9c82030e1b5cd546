"""Several calls in an answer, or one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from longctx import Chunk, LongContextLLM, RequestError
from longctx.chat.calls import AnswerFormat
from longctx.chat.calls.format import HERMES
from longctx.chat.expected import Hearing
from tests.models import TINY

ASKED: Any = [{"role": "user", "content": "Is it warm in Rome and in Oslo?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
        },
    },
}
TOOLS = {"weather": WEATHER["function"]["parameters"]}
ROME = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
OSLO = ROME.replace("Rome", "Oslo")
HALF = '<tool_call>\n{"name": "weather", "arguments": {"city": '


@pytest.fixture(scope="module")
def tiny() -> Iterator[LongContextLLM]:
    """Noise."""
    with LongContextLLM(TINY, 1024, reserve_output=200, n_threads=1) as llm:
        yield llm


def test_a_grammar_has_room_for_one(tiny: LongContextLLM) -> None:
    """What is streamed is what comes of it."""
    *chunks, last = tiny.stream_chat(
        ASKED, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )
    assert last.result is not None
    assert [call.name for call in last.result.tool_calls] == ["weather"]
    assert {piece.index for chunk in chunks for piece in chunk.tool_calls} == {0}


def test_nonsense_is_refused(tiny: LongContextLLM) -> None:
    """It is true or false."""
    with pytest.raises(RequestError, match="parallel_tool_calls"):
        tiny.chat(ASKED, parallel_tool_calls="no")  # type: ignore[arg-type]  # under test


@pytest.mark.parametrize(
    ("text", "many", "cities"),
    [
        (f"{ROME}\n{OSLO}", True, ["Rome", "Oslo"]),
        (f"{ROME}\n{OSLO}", False, ["Rome"]),
        (f"{HALF}oops {ROME}", False, ["Rome"]),
    ],
)
def test_a_second_call_that_no_grammar_held(text: str, many: bool, cities: list[str]) -> None:
    """It is neither streamed nor in the message; one that broke off does not count."""
    hearing = Hearing(AnswerFormat(HERMES), TOOLS, "", frozenset(), many=many)
    told = [chunk for char in text for chunk in hearing.push(Chunk(text=char))] + hearing.end()
    assert [call.arguments["city"] for call in hearing.message.tool_calls] == cities
    begun = [piece.id for chunk in told for piece in chunk.tool_calls if piece.id]
    assert {call.id for call in hearing.message.tool_calls} <= set(begun)
    if HALF not in text[:5]:
        assert begun[-1] == hearing.message.tool_calls[-1].id


def test_no_two_calls_of_a_conversation_have_one_id(tiny: LongContextLLM) -> None:
    """Of one answer, of the next, and where a history brings ids that would come next."""
    messages: list[Any] = list(ASKED)
    ids = ["call_0", "call_1", "call_2"]
    for call_id in ids:
        function = {"name": "weather", "arguments": {"city": "Rome"}}
        call = {"id": call_id, "type": "function", "function": function}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call_id, "content": "Warm."})
    for _ in range(2):
        answer = tiny.chat(messages, tools=[WEATHER], tool_choice="required", max_tokens=60)
        assert answer.tool_calls
        ids += [call.id for call in answer.tool_calls]
        messages.append(answer.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "Warm."}
            for call in answer.tool_calls
        ]
    assert len(set(ids)) == len(ids)
    both = Hearing(AnswerFormat(HERMES), TOOLS, "", frozenset(ids))
    both.push(Chunk(text=f"{ROME}\n{OSLO}"))
    both.end()
    new = [call.id for call in both.message.tool_calls]
    assert len(set(new) - set(ids)) == len(new) == 2
