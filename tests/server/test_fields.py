"""What becomes of each field of a request: the table in the code, and in the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from longctx import LongContextLLM
from longctx.server.fields import EVERY, FIELDS, named, table
from longctx.server.openai.requests import ChatRequest, CompletionRequest
from tests.server.live_server import LiveServer, serving

TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
KINDS = {"chat": ChatRequest, "text": CompletionRequest}
ROUTES = {
    "chat": "/v1/chat/completions",
    "text": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
BODIES: dict[str, dict[str, Any]] = {
    "chat": TURN,
    "text": {"prompt": "Hi", "max_tokens": 4},
    "responses": {"input": "Hi", "max_output_tokens": 4},
    "messages": TURN,
}


def _said(route: str, reply: dict[str, Any]) -> Any:
    """The answer, without ids."""
    if route == "responses":
        return [item["content"] for item in reply["output"]]
    return reply["content" if route == "messages" else "choices"]


@pytest.mark.parametrize("route", ["chat", "text"])
def test_every_field_is_in_the_table(route: Any) -> None:
    """And every row of it is a field."""
    known = {name for row in FIELDS if route in row.of for name in row.names}
    assert set(KINDS[route].model_fields) == known


def test_the_documentation_has_the_table() -> None:
    """docs/server.md is what the code says."""
    page = Path(__file__).parents[2] / "docs" / "server.md"
    assert table() in page.read_text("utf-8")


@pytest.mark.parametrize("route", ["chat", "text"])
def test_null_is_absence(server: LiveServer, route: Any) -> None:
    """Of every field at once, and of every member of what is nested."""
    body = {**dict.fromkeys(KINDS[route].model_fields), **BODIES[route]}
    with server.http() as http:
        plain = http.post(ROUTES[route], json=BODIES[route]).json()
        reply = http.post(ROUTES[route], json=body)
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"] == plain["choices"]
        assert "Longctx-Warning" not in reply.headers
        nested = {
            "stream_options": {"include_usage": None},
            "response_format": {"type": "text", "json_schema": None, "schema": None},
        }
        if route == "chat":
            function = {"name": "f", "description": None, "parameters": None, "strict": None}
            nested["tools"] = [{"type": "function", "function": function}]  # type: ignore[assignment]
            nested["messages"] = [  # type: ignore[assignment]
                {"role": "user", "content": "Hi", "name": None, "tool_calls": None}
            ]
        reply = http.post(ROUTES[route], json={**BODIES[route], **nested})
        assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("route", EVERY)
def test_what_is_ignored_is_told(server: LiveServer, route: Any) -> None:
    """Whatever it holds, the answer is the same; the header names it, whole or streamed."""
    ignored = named("ignored", route)
    body = {**BODIES[route], **dict.fromkeys(ignored, "x"), "store": False}
    if "metadata" in ignored:
        body["metadata"] = {"a": [1]}
    if route == "messages":
        del body["store"]
    with server.http() as http:
        plain = http.post(ROUTES[route], json=BODIES[route]).json()
        for stream in (False, True):
            reply = http.post(ROUTES[route], json={**body, "stream": stream})
            assert reply.status_code == 200, reply.text
            assert all(name in reply.headers["Longctx-Warning"] for name in ignored)
        told = http.post(ROUTES[route], json=body).json()
    assert _said(route, told) == _said(route, plain)


def test_unknown_members_of_tools_are_told(server: LiveServer) -> None:
    """``cache_control`` and what else clients put there."""
    function = {"name": "f", "parameters": {"type": "object"}, "examples": []}
    tools = [{"type": "function", "cache_control": {"type": "ephemeral"}, "function": function}]
    body = {**TURN, "tools": tools, "tool_choice": "none", "stream_options": {"shiny": 1}}
    with server.http() as http:
        reply = http.post(ROUTES["chat"], json=body)
    assert reply.status_code == 200, reply.text
    told = reply.headers["Longctx-Warning"]
    for name in ("tools[0].cache_control", "tools[0].function.examples", "stream_options.shiny"):
        assert name in told


@pytest.mark.parametrize(
    ("route", "name"),
    [(route, name) for route in EVERY for name in named("refused", route)],
)
def test_what_is_refused_is_named(server: LiveServer, route: Any, name: str) -> None:
    """With the reason, and the field for programs where the protocol has a place for it."""
    with server.http() as http:
        reply = http.post(ROUTES[route], json={**BODIES[route], name: "x"})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert route == "messages" or error["param"] == name
    assert f"{name}: it is not supported: {named('refused', route)[name]}" in error["message"]


@pytest.mark.parametrize("route", EVERY)
def test_what_switches_a_refused_field_off_is_absence(server: LiveServer, route: Any) -> None:
    """Clients of llama-server send every field."""
    for off in (False, 0, "", []):
        body = {**BODIES[route], **dict.fromkeys(named("refused", route), off)}
        with server.http() as http:
            reply = http.post(ROUTES[route], json=body)
        assert reply.status_code == 200, (off, reply.text)


@pytest.mark.parametrize(
    ("last", "said", "status"),
    [
        ("assistant", {"continue_final_message": True, "add_generation_prompt": False}, 200),
        ("assistant", {"continue_final_message": True}, 200),
        ("user", {"add_generation_prompt": True, "continue_final_message": False}, 200),
        ("user", {"continue_final_message": True}, 400),
        ("user", {"add_generation_prompt": False}, 400),
        ("assistant", {"add_generation_prompt": True}, 400),
        ("assistant", {"continue_final_message": True, "add_generation_prompt": True}, 400),
    ],
)
def test_an_answer_is_continued_as_vllm_is_asked(
    server: LiveServer, last: str, said: dict[str, bool], status: int
) -> None:
    """Where the messages say otherwise, nothing is guessed."""
    messages = [{"role": "user", "content": "Name a river."}]
    if last == "assistant":
        messages.append({"role": "assistant", "content": "It is"})
    with server.http() as http:
        reply = http.post(ROUTES["chat"], json={"messages": messages, "max_tokens": 2, **said})
    assert reply.status_code == status, reply.text


def test_an_object_is_held_to_its_schema(server: LiveServer) -> None:
    """``schema`` in ``json_object``, and ``json_schema`` beside it, as llama-server has them."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    for field in (
        {"response_format": {"type": "json_object", "schema": schema}},
        {"json_schema": schema},
    ):
        with server.http() as http:
            reply = http.post(ROUTES["chat"], json={**TURN, "max_tokens": 40, **field})
        said = json.loads(reply.json()["choices"][0]["message"]["content"])
        assert list(said) == ["a"]
        assert isinstance(said["a"], bool)


def test_several_answers_side_by_side(client: OpenAI) -> None:
    """Each by its index, whole and streamed; the prompt counts once, and a seed counts up."""
    asked: Any = {**TURN, "model": "tiny", "n": 3, "temperature": 1.5, "seed": 5, "logprobs": True}
    answer = client.chat.completions.create(**asked)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) > 1
    one = client.chat.completions.create(**{**asked, "n": 1})
    assert answer.usage is not None
    assert one.usage is not None
    assert answer.usage.prompt_tokens == one.usage.prompt_tokens
    assert answer.usage.completion_tokens == 3 * one.usage.completion_tokens
    streamed, ends = ["", "", ""], []
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            ends += [choice.index] if choice.finish_reason else []
    assert sorted(ends) == [0, 1, 2]
    assert all(streamed)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens


def test_how_long_an_answer_may_be(tiny_llm: LongContextLLM) -> None:
    """-1 and nothing go to the end of the window, 0 only reads, all as llama-server has it; the
    operator may bound what names no bound."""
    n = tiny_llm.count(TURN["messages"])
    more = tiny_llm.detokenize(tiny_llm.tokenize("more of it, and " * 900)[: 1900 - n])
    asked = {"messages": [{"role": "user", "content": more}], "stop_on_repetition": False}
    with serving(tiny_llm, model_id="tiny", max_tokens=None) as live, live.http() as http:
        for bound in ({}, {"max_tokens": None}, {"max_tokens": -1}, {"n_predict": -1}):
            found = http.post(ROUTES["chat"], json={**asked, **bound}).json()
            is_cut = found["choices"][0]["finish_reason"] == "length"
            assert is_cut == (found["usage"]["total_tokens"] == 2048)
            assert found["usage"]["completion_tokens"] > 3 * tiny_llm.reserve_output
        read = http.post(ROUTES["chat"], json={**asked, "max_tokens": 0}).json()
        assert read["choices"][0]["message"]["content"] == ""
        assert read["usage"]["completion_tokens"] == 0
    with serving(tiny_llm, model_id="tiny", max_tokens=5) as live, live.http() as http:
        for bound, n in (({}, 5), ({"max_tokens": -1}, 5), ({"max_tokens": 7}, 7)):
            found = http.post(ROUTES["chat"], json={**asked, **bound}).json()
            assert found["usage"]["completion_tokens"] == n


def test_how_answers_are_drawn_where_nobody_says_it(tiny_llm: LongContextLLM) -> None:
    """At a temperature of 1; as the operator says; greedily where the request does."""
    with serving(tiny_llm, sampling={}) as live, live.http() as http:
        said = [http.post(ROUTES["chat"], json=TURN).json() for _ in range(6)]
        assert len({each["choices"][0]["message"]["content"] for each in said}) > 1
        cold = [http.post(ROUTES["chat"], json={**TURN, "temperature": 0}).json() for _ in range(3)]
        assert len({each["choices"][0]["message"]["content"] for each in cold}) == 1
        one = {**TURN, "top_k": 1}
        first = [http.post(ROUTES["chat"], json=one).json() for _ in range(3)]
        assert [each["choices"] for each in first] == [cold[0]["choices"]] * 3
    with serving(tiny_llm, sampling={"temperature": 2.0, "top_k": 1}) as live, live.http() as http:
        reply = http.post(ROUTES["chat"], json=TURN).json()
        assert reply["choices"] == cold[0]["choices"]


BROKEN = ('{"city": "Ro', "[1", "rome", '"rome"', "")


@pytest.mark.parametrize("arguments", BROKEN)
def test_a_history_with_a_broken_call_is_answered(client: OpenAI, arguments: str) -> None:
    """The text of the call is kept as it was; a call that was never answered is one, too."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns: Any = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    for more in ([{"role": "tool", "tool_call_id": "1", "content": "x"}], []):
        asked = [*turns, *more, {"role": "user", "content": "Go on"}]
        answer = client.chat.completions.create(model="tiny", messages=asked, max_tokens=4)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4


def test_the_last_words_of_the_assistants_are_continued(
    client: OpenAI, tiny_llm: LongContextLLM
) -> None:
    """What comes back is what follows them."""
    begun: Any = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, I"}]
    answer = client.chat.completions.create(model="tiny", messages=begun, max_tokens=4)
    assert answer.choices[0].message.content == tiny_llm.chat(begun, max_tokens=4).text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == tiny_llm.count(begun)
