"""The Responses API, asked by the official client over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

from longctx import LongContextLLM, Message
from longctx.testing import Reply
from tests.server.breaking import BreakingLLM
from tests.server.live_server import LiveServer, serving
from tests.server.scripted import CALLS, THOUGHT, scripted

QUESTION: Any = "Is it warm in Rome and in Oslo?"
HI: Any = [{"role": "user", "content": QUESTION}]
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}},
        "required": ["city"],
    },
    "strict": True,
}
LOGPROBS: Any = ["message.output_text.logprobs"]


def test_an_answer_is_what_the_model_says(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """The same tokens and counts as in Python; what was asked is told again."""
    answer = client.responses.create(
        model="tiny",
        instructions="Be brief.",
        input=QUESTION,
        max_output_tokens=12,
        temperature=0,
        metadata={"of": "mine"},
    )
    own = tiny_llm.chat([{"role": "system", "content": "Be brief."}, *HI], max_tokens=12)
    assert answer.output_text == own.text
    assert answer.instructions == "Be brief."
    assert answer.metadata == {"of": "mine"}
    assert answer.temperature == 0
    assert answer.usage is not None
    assert answer.usage.input_tokens == own.usage.prompt_tokens
    assert answer.usage.output_tokens == own.usage.completion_tokens
    assert answer.usage.total_tokens == own.usage.prompt_tokens + own.usage.completion_tokens


@pytest.mark.parametrize(("room", "status"), [(1, "incomplete"), (40, "completed")])
def test_an_answer_that_is_cut_is_incomplete(client: OpenAI, room: int, status: str) -> None:
    """It says why, and so does its last item; one that ends by itself is complete."""
    answer = client.responses.create(
        model="tiny", input=QUESTION, max_output_tokens=room, extra_body={"stop": ["special", "a"]}
    )
    assert answer.status == answer.output[-1].status == status  # type: ignore[union-attr]
    reason = answer.incomplete_details.reason if answer.incomplete_details else None
    assert reason == ("max_output_tokens" if status == "incomplete" else None)
    assert (answer.completed_at is None) is (status == "incomplete")


def test_cached_tokens_are_told(client: OpenAI) -> None:
    """All but the last token of a prompt that was just asked."""
    asked: Any = {"model": "tiny", "input": "Twice the same.", "max_output_tokens": 1}
    client.responses.create(**asked)
    usage = client.responses.create(**asked).usage
    assert usage is not None
    assert usage.input_tokens_details.cached_tokens == usage.input_tokens - 1


def test_input_tokens_are_what_is_prefilled(client: OpenAI) -> None:
    """Instructions and tools included."""
    asked: Any = {"model": "tiny", "input": HI, "instructions": "Be brief.", "tools": [WEATHER]}
    counted = client.responses.input_tokens.count(**asked)
    usage = client.responses.create(**asked, tool_choice="none", max_output_tokens=1).usage
    assert usage is not None
    assert counted.input_tokens == usage.input_tokens


def test_a_model_of_pydantic_holds_the_answer(client: OpenAI) -> None:
    """``responses.parse``, and the same streamed."""

    class Weather(BaseModel):
        warm: bool

    asked: Any = {"model": "tiny", "input": QUESTION, "text_format": Weather}
    parsed = client.responses.parse(**asked, max_output_tokens=40)
    assert isinstance(parsed.output_parsed, Weather)
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output_parsed == parsed.output_parsed


def test_any_object(client: OpenAI) -> None:
    """``json_object`` has no schema of its own."""
    answer = client.responses.create(
        model="tiny",
        input=QUESTION,
        text={"format": {"type": "json_object"}},
        max_output_tokens=60,
        temperature=0,
    )
    assert answer.output_text.startswith("{")


def test_logprobs_are_those_of_a_chat(client: OpenAI) -> None:
    """Where they are included; the same tokens as chat completions tell of."""
    told = client.responses.create(
        model="tiny", input=QUESTION, max_output_tokens=4, include=LOGPROBS, top_logprobs=2
    )
    chat = client.chat.completions.create(
        model="tiny", messages=HI, max_tokens=4, logprobs=True, top_logprobs=2
    )
    said: Any = told.output[0]
    likely: Any = chat.choices[0].logprobs
    own = [token.model_dump() for token in said.content[0].logprobs]
    assert own == [token.model_dump() for token in likely.content]
    assert len(own) == 4
    with client.responses.stream(
        model="tiny", input=QUESTION, max_output_tokens=4, include=LOGPROBS, top_logprobs=2
    ) as stream:
        deltas: Any = [e for e in stream if e.type == "response.output_text.delta"]
    assert [t.token for delta in deltas for t in delta.logprobs] == [t["token"] for t in own]


ARGUMENTS = ["function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]


@pytest.mark.parametrize("summary", [None, "auto"])
def test_events_come_in_their_order(tiny_llm: LongContextLLM, summary: Any) -> None:
    """Each item opens, grows and ends before the next; numbers count up; the end is the answer.

    Thoughts stand where a client looks for them: in a summary if it asked for one.
    """
    with scripted(tiny_llm, [THOUGHT, THOUGHT]) as (live, _):
        asked: Any = {"model": "tiny", "input": QUESTION, "tools": [WEATHER]}
        asked["reasoning"] = {"summary": summary}
        with live.openai().responses.stream(**asked) as stream:
            events = list(stream)
            final = stream.get_final_response()
        whole = live.openai().responses.create(**asked)
    kinds = [event.type.removeprefix("response.") for event in events]
    once = [kind for i, kind in enumerate(kinds) if kinds[i - 1 : i] != [kind]]
    part = "reasoning_summary_part" if summary else "content_part"
    text = "reasoning_summary_text" if summary else "reasoning_text"
    assert once == [
        *("created", "in_progress"),
        *("output_item.added", f"{part}.added"),
        *(f"{text}.delta", f"{text}.done", f"{part}.done", "output_item.done"),
        *("output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", *ARGUMENTS) * 2,
        "completed",
    ]
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    deltas: dict[int, str] = {}
    for event in events:
        if event.type.endswith(".delta"):
            index = event.output_index  # type: ignore[union-attr]
            deltas[index] = deltas.get(index, "") + event.delta  # type: ignore[union-attr]
    arguments = [json.dumps(call.arguments) for call in CALLS]
    assert list(deltas.values()) == [THOUGHT.reasoning, THOUGHT.content, *arguments]

    assert [item.type for item in whole.output] == [item.type for item in final.output]
    assert final.output_text == whole.output_text == THOUGHT.content
    thoughts: Any = whole.output[0]
    (thought,) = thoughts.summary if summary else thoughts.content
    assert thought.text == THOUGHT.reasoning


def test_a_stream_of_a_real_model_is_the_whole_answer(client: OpenAI) -> None:
    """Piece by piece, and kept as the whole one is."""
    asked: Any = {"model": "tiny", "input": QUESTION, "max_output_tokens": 12}
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        events = list(stream)
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text
    last: Any = events[-1]
    assert last.type == f"response.{whole.status}"
    assert client.responses.retrieve(last.response.id).output_text == text


@pytest.mark.parametrize("kept", [True, False])
def test_a_loop_of_tools(tiny_llm: LongContextLLM, kept: bool) -> None:
    """Over the server's memory, or with all of it sent again: the model reads the same."""
    with scripted(tiny_llm, [THOUGHT, "Warm in Rome."]) as (live, fake):
        client = live.openai()
        asked: Any = {"model": "tiny", "tools": [WEATHER], "instructions": "Be brief."}
        first = client.responses.create(**asked, input=QUESTION, store=kept)
        calls: Any = [item for item in first.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == [c.arguments for c in CALLS]
        results: Any = [
            {"type": "function_call_output", "call_id": call.call_id, "output": "14 C"}
            for call in calls
        ]
        if kept:
            asked["previous_response_id"] = first.id
        else:
            results = [*HI, *[item.to_dict() for item in first.output], *results]
        after = client.responses.create(**asked, input=results, store=kept)
    assert after.output_text == "Warm in Rome."
    assert after.previous_response_id == (first.id if kept else None)
    told = [Message(role="tool", content="14 C", tool_call_id=call.id) for call in CALLS]
    system = Message(role="system", content="Be brief.")
    question = Message(role="user", content=QUESTION)
    assert list(fake.calls[-1].messages) == [system, question, THOUGHT, *told]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
def test_a_forced_call_of_a_real_model(client: OpenAI, choice: Any) -> None:
    """It is held to the schema of its tool."""
    answer = client.responses.create(
        model="tiny",
        input=QUESTION,
        tools=[WEATHER],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_output_tokens=200,
    )
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "weather"
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")


# What is kept


def test_a_conversation_goes_on(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """Turn by turn, as if all of it were sent; instructions are of one turn; its cache is found."""
    first = client.responses.create(
        model="tiny", input=QUESTION, max_output_tokens=6, instructions="Be brief."
    )
    second = client.responses.create(
        model="tiny", input="And now?", previous_response_id=first.id, max_output_tokens=6
    )
    said: list[Any] = [*HI, {"role": "assistant", "content": first.output_text}]
    own = tiny_llm.chat([*said, {"role": "user", "content": "And now?"}], max_tokens=6)
    assert second.output_text == own.text
    assert second.usage is not None
    assert second.usage.input_tokens == own.usage.prompt_tokens


def test_what_was_continued_is_one_turn(tiny_llm: LongContextLLM) -> None:
    """The words that the answer went on with, and its own."""
    with scripted(tiny_llm, [" is warm.", "Yes."]) as (live, fake):
        client = live.openai()
        begun: Any = [*HI, {"role": "assistant", "content": "Rome"}]
        first = client.responses.create(model="tiny", input=begun)
        assert first.output_text == " is warm."
        client.responses.create(model="tiny", input="Sure?", previous_response_id=first.id)
    assert list(fake.calls[-1].messages) == [
        Message(role="user", content=QUESTION),
        Message(role="assistant", content="Rome is warm."),
        Message(role="user", content="Sure?"),
    ]


def test_responses_are_kept_listed_and_deleted(client: OpenAI) -> None:
    """By default; not with store: false."""
    answer = client.responses.create(model="tiny", input=[*HI, *HI], max_output_tokens=1)
    assert client.responses.retrieve(answer.id) == answer
    items: Any = client.responses.input_items.list(answer.id, order="asc").data
    assert [item.content for item in items] == [QUESTION, QUESTION]
    later: Any = client.responses.input_items.list(
        answer.id, order="asc", after=items[0].id, limit=1
    )
    assert [item.id for item in later.data] == [items[1].id]
    client.responses.delete(answer.id)
    unkept = client.responses.create(model="tiny", input=HI, max_output_tokens=1, store=False)
    for gone in (answer.id, unkept.id, "resp_never"):
        for ask in (client.responses.retrieve, client.responses.delete):
            with pytest.raises(NotFoundError, match="there is no response"):
                ask(gone)
        with pytest.raises(NotFoundError, match="there is no response") as caught:
            client.responses.create(model="tiny", input=HI, previous_response_id=gone)
        assert caught.value.code == "response_not_found"


def test_an_item_can_be_referred_to(tiny_llm: LongContextLLM) -> None:
    """As some clients do, which count on what is kept."""
    with scripted(tiny_llm, [THOUGHT, "Yes."]) as (live, fake):
        client = live.openai()
        first = client.responses.create(model="tiny", input=QUESTION)
        refer: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
        client.responses.create(model="tiny", input=[*HI, *refer, *HI])
        assert fake.calls[-1].messages[1] == THOUGHT
        with pytest.raises(NotFoundError, match="no item"):
            client.responses.create(model="tiny", input=[{"type": "item_reference", "id": "x"}])


def test_the_least_recently_used_make_way(tiny_llm: LongContextLLM) -> None:
    """Two are kept here; one that was used stays."""
    with serving(tiny_llm, model_id="tiny", max_responses=2) as live:
        client = live.openai()
        asked: Any = {"model": "tiny", "input": QUESTION, "max_output_tokens": 1}
        ids = [client.responses.create(**asked).id for _ in range(2)]
        client.responses.retrieve(ids[0])
        ids.append(client.responses.create(**asked).id)
        with pytest.raises(NotFoundError, match="the last 2 are kept"):
            client.responses.retrieve(ids[1])
        assert [client.responses.retrieve(ids[i]).id for i in (0, 2)] == [ids[0], ids[2]]


# What is wrong


@pytest.fixture(scope="module")
def refusing(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """It answers nothing that is wrong."""
    replies: list[Reply] = []
    with scripted(tiny_llm, replies) as (live, _):
        yield live


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": [{"role": "robot", "content": "a"}]}, "'robot' is not supported here"),
        ({"input": [{"type": "computer_call"}]}, "'computer_call' is not supported here"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "'input_image' is not supported here",
        ),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "b"}]}, "arguments"),
        ({"tools": [{"type": "web_search"}]}, "'web_search' is not supported here"),
        ({"tools": [{"type": "function"}]}, "name"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"truncation": "auto"}, "nothing is cut here"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "schema"),
        ({"text": {"format": {"type": "grammar"}}}, "'grammar' is not supported here"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_logprobs": 2}, "include"),
        ({"temprature": 1}, "temprature"),
        ({"reasoning": {"summary": "long"}}, "'long' is not supported here"),
    ],
)
def test_nonsense_is_a_400(refusing: LiveServer, body: dict[str, Any], said: str) -> None:
    """In OpenAI's shape, and words that name the fault."""
    whole = {"input": QUESTION, **body} if body else body
    reply = httpx.post(f"{refusing.url}/v1/responses", json=whole, timeout=60)
    assert reply.status_code == 400, reply.text
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_is_said_in_words_that_clients_know(client: OpenAI, stream: bool) -> None:
    """A 400 before a stream begins."""
    with pytest.raises(BadRequestError, match=r"prompt is too long: \d+ tokens > 2048") as caught:
        client.responses.create(model="tiny", input="word " * 3000, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length" in str(caught.value)


def test_what_breaks_off_has_failed(tiny_llm: LongContextLLM) -> None:
    """The status is sent by then: the last event says so, with what there is; it is not kept."""
    with serving(BreakingLLM(tiny_llm), model_id="tiny") as live:
        client = live.openai()
        last: Any = list(client.responses.create(model="tiny", input=QUESTION, stream=True))[-1]
        assert last.type == "response.failed"
        assert last.response.status == "failed"
        assert "graphics card" in last.response.error.message
        assert last.response.output[0].status == "incomplete"
        assert last.response.output_text == "Half "
        with pytest.raises(NotFoundError):
            client.responses.retrieve(last.response.id)
