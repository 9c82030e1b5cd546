"""Conversations, asked by the official client over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from longctx import LongContextLLM
from tests.models import TINY
from tests.server.live_server import LiveServer, serving

QUESTION: list[Any] = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Today's weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
        },
    },
}


def test_an_answer_is_what_the_model_says(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """Text, finish reason and every count are those of LongContextLLM.chat."""
    answer = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=12)
    own = tiny_llm.chat(QUESTION, max_tokens=12)
    (choice,) = answer.choices
    assert choice.message.content == own.text
    assert choice.finish_reason == own.finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == tiny_llm.count(QUESTION)
    assert answer.usage.completion_tokens == own.usage.completion_tokens
    assert answer.usage.total_tokens == own.usage.prompt_tokens + own.usage.completion_tokens
    assert answer.model_extra is not None
    assert answer.model_extra["longctx"]["window"]["n_ctx"] == own.window.n_ctx


def test_cached_tokens_are_true(client: OpenAI) -> None:
    """The same prompt again prefills its last token alone."""
    asked: list[Any] = [{"role": "user", "content": "The same prompt, asked twice."}]
    for first in (True, False):
        usage = client.chat.completions.create(model="tiny", messages=asked, max_tokens=2).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached = usage.prompt_tokens_details.cached_tokens
        assert cached is not None
        assert (cached == usage.prompt_tokens - 1) is not first


def test_a_last_message_of_the_assistants_is_continued() -> None:
    """The answer is what follows it, whole or streamed, and it is cached up to there."""
    with LongContextLLM(TINY, 1024, n_threads=1) as llm, serving(llm, model_id="tiny") as live:
        client = live.openai()
        cut = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=4)
        whole = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=8)
        begun = [*QUESTION, {"role": "assistant", "content": cut.choices[0].message.content}]
        rest = client.chat.completions.create(model="tiny", messages=begun, max_tokens=4)
        text = f"{cut.choices[0].message.content}{rest.choices[0].message.content}"
        assert text == whole.choices[0].message.content
        assert rest.usage is not None
        assert cut.usage is not None
        assert rest.usage.prompt_tokens == cut.usage.total_tokens
        assert rest.usage.prompt_tokens_details is not None
        assert rest.usage.prompt_tokens_details.cached_tokens == rest.usage.prompt_tokens - 1


def test_the_developer_is_the_system(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """OpenAI's newer word for the role counts as the older."""
    asked: list[Any] = [{"role": "developer", "content": QUESTION[0]["content"]}, QUESTION[1]]
    usage = client.chat.completions.create(model="tiny", messages=asked, max_tokens=2).usage
    assert usage is not None
    assert usage.prompt_tokens == tiny_llm.count(QUESTION)


def test_a_stream_is_the_same_answer(client: OpenAI) -> None:
    """Chunks joined are the whole; the usage comes last, in a chunk without a choice."""
    whole = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=12)
    *chunks, counts = client.chat.completions.create(
        model="tiny",
        messages=QUESTION,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert {chunk.id for chunk in [*chunks, counts]} == {counts.id}
    assert counts.choices == []
    assert counts.usage is not None
    assert whole.usage is not None
    assert counts.usage.completion_tokens == whole.usage.completion_tokens


def test_a_stream_counts_only_when_asked(client: OpenAI) -> None:
    """Without include_usage every chunk has a choice."""
    stream = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=2, stream=True
    )
    assert all(len(chunk.choices) == 1 for chunk in stream)


def test_a_stream_tells_of_its_prefill_and_its_end(server: LiveServer) -> None:
    """Comments say how far it is; the last line is [DONE]."""
    asked = {
        "messages": [{"role": "user", "content": "A long text. " * 80}],
        "stream": True,
        "max_tokens": 1,
    }
    with server.http() as http:
        lines = http.post("/v1/chat/completions", json=asked).text.strip().split("\n\n")
    assert any(line.startswith(": prefill ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith((": ", "data: ")) for line in lines)


def test_seeds_repeat_and_differ(client: OpenAI) -> None:
    """Sampling is a function of the seed."""
    texts = [
        client.chat.completions.create(
            model="tiny", messages=QUESTION, max_tokens=12, temperature=1.5, seed=seed
        )
        .choices[0]
        .message.content
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_stop_strings_end_the_answer(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """They are not part of it."""
    whole = tiny_llm.chat(QUESTION, max_tokens=12).text
    stop = whole[4:6]
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=12, stop=[stop]
    )
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_a_schema_holds_the_answer(client: OpenAI) -> None:
    """The JSON has the type that was asked for, from noise."""
    schema = {"type": "object", "properties": {"capital": {"type": "boolean"}}}
    schema |= {"required": ["capital"], "additionalProperties": False}
    answer = client.chat.completions.create(
        model="tiny",
        messages=QUESTION,
        max_tokens=60,
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["capital"], bool)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called(client: OpenAI, stream: bool) -> None:
    """tool_choice="required" gives a call with an id, its arguments as JSON in a string."""
    options: Any = {
        "model": "tiny",
        "messages": QUESTION,
        "max_tokens": 200,
        "tools": [WEATHER],
        "tool_choice": "required",
    }
    if stream:
        *chunks, last = client.chat.completions.create(**options, stream=True)
        deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert {call.index for call in deltas} == {0}
        assert not last.choices[0].delta.tool_calls
        assert last.choices[0].finish_reason == "tool_calls"
        call, *rest = deltas
        assert not any(delta.id or delta.function.name for delta in rest)
        call.function.arguments += "".join(delta.function.arguments for delta in rest)
    else:
        (choice,) = client.chat.completions.create(**options).choices
        (call,) = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
    assert call.id
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")


def test_a_turn_with_a_call_comes_back(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """What the client got it may send again, with the tool's result."""
    asked = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=200, tools=[WEATHER], tool_choice="required"
    )
    message = asked.choices[0].message
    assert message.tool_calls is not None
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    answer = client.chat.completions.create(
        model="tiny",
        messages=[*QUESTION, message.model_dump(), result],
        tools=[WEATHER],
        max_tokens=4,
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > tiny_llm.count(QUESTION, [WEATHER])


def test_too_long_a_prompt_is_refused_with_its_numbers(client: OpenAI) -> None:
    """400 context_length_exceeded, streamed or not; nothing is cut."""
    long: list[Any] = [{"role": "user", "content": "word " * 3000}]
    for stream in (False, True):
        with pytest.raises(BadRequestError, match="Nothing was cut") as caught:
            client.chat.completions.create(model="tiny", messages=long, stream=stream)
        assert caught.value.code == "context_length_exceeded"
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["n_ctx"] == caught.value.body["available"] == 2048
        assert caught.value.body["needed"] > 3000


def test_another_model_is_not_there(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """It is answered, and warned of; a strict server's 404 says which is."""
    reply = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=QUESTION)
    assert "'gpt-4o'" in reply.headers["Longctx-Warning"]
    assert reply.parse().model == "tiny"
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-4o")
    with (
        serving(tiny_llm, model_id="tiny", strict_model=True) as strict,
        pytest.raises(NotFoundError, match="'tiny'") as caught,
    ):
        strict.openai().chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert caught.value.code == "model_not_found"


TURN = {"messages": [{"role": "user", "content": "Hi"}]}


def _held(schema: dict[str, Any]) -> dict[str, Any]:
    """A turn whose answer is held to a schema."""
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    return {**TURN, "response_format": form}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "content"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "surrogate"),
        ({**TURN, "max_tokens": -2}, "max_tokens"),
        ({**TURN, "max_tokens": True}, "max_tokens"),
        ({**TURN, "temperature": -1}, "temperature"),
        ({**TURN, "temperature": float("nan")}, "temperature"),
        ({**TURN, "top_p": 0}, "top_p"),
        ({**TURN, "stop": 5}, "stop"),
        ({**TURN, "n": 0}, "n: "),
        ({**TURN, "n": 100}, "--max-waiting"),
        ({**TURN, "audio": {"voice": "alloy"}}, "audio"),
        ({**TURN, "modalities": ["text", "audio"]}, "modalities"),
        ({**TURN, "web_search_options": {}}, "nothing is searched"),
        ({**TURN, "functions": [{"name": "f"}]}, "tool_choice"),
        ({**TURN, "grammar": "root ::= [a-z]"}, "json_schema"),
        ({**TURN, "response_format": {"type": "text", "schema": {}}}, "schema"),
        ({**TURN, "top_logprobs": 2}, "logprobs: true"),
        ({**TURN, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({**TURN, "temperature": "1"}, "temperature"),
        ({**TURN, "stream": 1}, "stream"),
        ({**TURN, "presence_penalty": 2.5}, "presence_penalty"),
        ({**TURN, "top_k": 1.5}, "top_k"),
        ({**TURN, "shiny": 40}, "shiny"),
        ({**TURN, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({**TURN, "reasoning_effort": ""}, "reasoning_effort"),
        ({**TURN, "chat_template_kwargs": {"enable_thinking": True}}, "no switch"),
        ({**TURN, "chat_template_kwargs": {"shininess": 1}}, "shininess"),
        ({**TURN, "mirostat": 3}, "mirostat"),
        ({**TURN, "dry_sequence_breakers": ["."] * 33}, "dry_sequence_breakers"),
        ({**TURN, "logit_bias": {"999999999": 1}}, "999999999"),
        ({**TURN, "logit_bias": {"no one token": 1}}, "no single one"),
        ({**TURN, "tool_choice": "required"}, "no tools"),
        ({**TURN, "tools": [{"type": "function", "function": {"name": "no space"}}]}, "name"),
        ({**TURN, "tools": [WEATHER], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({**TURN, "response_format": {"type": "json_schema"}}, "json_schema"),
        (_held({"$ref": "file:///etc/passwd"}), "schema"),
        (_held({"enum": []}), "grammar"),
        (_held({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (_held({"type": "string", "pattern": "^(a$"}), "unclosed group"),
        (_held({"type": "integer", "minimum": 3, "maximum": 1}), "minimum"),
    ],
)
def test_nonsense_is_a_400(server: LiveServer, body: dict[str, Any], said: str) -> None:
    """In OpenAI's shape, naming the field; a field that would change the answer is not ignored."""
    headers = {"Content-Type": "application/json"}
    reply = httpx.post(
        f"{server.url}/v1/chat/completions", content=json.dumps(body), headers=headers, timeout=60
    )
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]


def test_fields_without_effect_are_let_pass(server: LiveServer) -> None:
    """Clients send them by default."""
    harmless = {"n": 1, "user": "me", "presence_penalty": 0.0, "logit_bias": {}, "store": False}
    harmless |= {"parallel_tool_calls": True, "reasoning_effort": "medium"}
    with server.http() as http:
        reply = http.post("/v1/chat/completions", json={**TURN, **harmless, "max_tokens": 1})
    assert reply.status_code == 200, reply.text
