"""The model of another server, which is ours here, through every protocol of this one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from openai import BadRequestError, InternalServerError, OpenAI

from longctx import LongContextLLM
from longctx.remote import RemoteLLM
from longctx.server import RelayedModel
from tests.server.live_server import LiveServer, serving

HI: Any = [{"role": "user", "content": "Hello there."}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {
            "type": "object",
            "properties": {"exactly": {"type": "boolean"}},
            "required": ["exactly"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def relay(server: LiveServer) -> Iterator[LiveServer]:
    """A server before the one that has the model."""
    with RelayedModel.connect(f"{server.url}/v1") as model, serving(model) as live:
        yield live


@pytest.fixture(scope="module")
def near(relay: LiveServer) -> OpenAI:
    """The official client of it."""
    return relay.openai()


def test_chats_are_as_there(client: OpenAI, near: OpenAI) -> None:
    """Whole, streamed, several at once; name, window and exact usage."""
    asked: Any = {"model": "tiny", "messages": HI, "max_tokens": 8}
    there, here = (c.chat.completions.create(**asked) for c in (client, near))
    assert here.choices[0].message.content == there.choices[0].message.content
    assert here.usage is not None
    assert there.usage is not None
    assert here.usage.prompt_tokens == there.usage.prompt_tokens
    assert here.usage.completion_tokens == there.usage.completion_tokens == 8
    chunks = list(near.chat.completions.create(**asked, stream=True))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert streamed == there.choices[0].message.content
    several = near.chat.completions.create(**asked, n=2)
    assert [c.message.content for c in several.choices] == [streamed] * 2
    (model,) = near.models.list().data
    assert model.model_extra is not None
    assert (model.id, model.model_extra["max_model_len"]) == ("tiny", 2048)


def test_texts_and_token_ids_are_continued(
    client: OpenAI, near: OpenAI, tiny_llm: LongContextLLM
) -> None:
    """Without a chat template."""
    for prompt in ("The function returns", tiny_llm.prompt_ids("The function returns")):
        asked: Any = {"model": "tiny", "prompt": prompt, "max_tokens": 6}
        there, here = (c.completions.create(**asked) for c in (client, near))
        assert here.choices[0].text == there.choices[0].text
        assert here.usage is not None
        assert there.usage is not None
        assert here.usage.prompt_tokens == there.usage.prompt_tokens


def test_tools_schemas_and_logprobs(near: OpenAI) -> None:
    """Calls and answers are held there; the tokens' probabilities come back."""
    asked: Any = {"model": "tiny", "messages": HI, "max_tokens": 60}
    (call,) = (
        near.chat.completions.create(**asked, tools=[TOOL], tool_choice="required")
        .choices[0]
        .message.tool_calls
        or ()
    )
    assert call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"exactly"}
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "boolean"}}}
    held = near.chat.completions.create(**asked, response_format=form).choices[0].message.content
    assert isinstance(json.loads(held or ""), bool)
    likely = near.chat.completions.create(
        model="tiny", messages=HI, max_tokens=4, logprobs=True, top_logprobs=2
    ).choices[0]
    assert likely.logprobs is not None
    tokens = likely.logprobs.content or []
    assert len(tokens) == 4
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_other_protocols(relay: LiveServer, near: OpenAI) -> None:
    """/v1/responses with its store, /v1/messages with its counts."""
    first = near.responses.create(model="tiny", input="Hello", max_output_tokens=4)
    after = near.responses.create(
        model="tiny", input="Go on", previous_response_id=first.id, max_output_tokens=4
    )
    assert first.usage is not None
    assert after.usage is not None
    assert after.usage.input_tokens > first.usage.input_tokens
    claude = Anthropic(base_url=relay.url, api_key="none", max_retries=0)
    counted = claude.messages.count_tokens(model="tiny", messages=HI).input_tokens
    message = claude.messages.create(model="tiny", max_tokens=4, messages=HI)
    usage = message.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted


def test_tokens_and_templates(server: LiveServer, relay: LiveServer) -> None:
    """As the other server tells them."""
    with server.http() as there, relay.http() as here:
        for path, body in (
            ("/tokenize", {"content": "some text"}),
            ("/tokenize", {"messages": HI, "tools": [TOOL]}),
            ("/apply-template", {"messages": HI}),
            ("/detokenize", {"tokens": [70, 71, 72]}),
        ):
            assert here.post(path, json=body).json() == there.post(path, json=body).json()
        props = here.get("/props").json()
        assert props["default_generation_settings"]["n_ctx"] == 2048


@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_is_refused(near: OpenAI, stream: bool) -> None:
    """With the numbers, before a stream begins."""
    long: Any = [{"role": "user", "content": "word " * 3000}]
    for asked in ({"messages": long, "max_tokens": 4}, {"messages": HI, "max_tokens": 5000}):
        with pytest.raises(BadRequestError) as caught:
            near.chat.completions.create(model="tiny", stream=stream, **asked)  # type: ignore[call-overload]
        assert caught.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError, match="shininess"):
        near.chat.completions.create(
            model="tiny", messages=HI, extra_body={"chat_template_kwargs": {"shininess": 1}}
        )


def test_less_than_its_window(server: LiveServer) -> None:
    """What is taken of it bounds prompts and answers that name no bound."""
    with (
        RelayedModel.connect(server.url, target_ctx=64, reserve_output=8) as part,
        serving(part, max_tokens=None) as live,
    ):
        short = live.openai().chat.completions.create(
            model="tiny", messages=HI, extra_body={"stop_on_repetition": False}
        )
        assert short.usage is not None
        assert short.usage.total_tokens <= 64
        with pytest.raises(BadRequestError, match="64"):
            live.openai().chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "word " * 60}]
            )


def test_an_effort_is_let_pass(near: OpenAI) -> None:
    """Clients send it to every model."""
    near.chat.completions.create(model="tiny", messages=HI, max_tokens=2, reasoning_effort="low")


def test_the_other_server_goes_away(tiny_llm: LongContextLLM) -> None:
    """A 502 that says where it was looked for; a busy one is a 503 with its wait."""
    with serving(tiny_llm) as live:
        model = RelayedModel.connect(live.url)
    host, port = live.url.removeprefix("http://").split(":")
    with socket.socket() as place, model, serving(model) as relay:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, int(port)))  # and does not listen: nobody else does there, either
        with pytest.raises(InternalServerError) as caught:
            relay.openai().chat.completions.create(model="tiny", messages=HI)
        assert caught.value.status_code == 502
        assert caught.value.code == "upstream_failed"
        assert live.url in caught.value.message


def test_hanging_up_is_passed_on(server: LiveServer, relay: LiveServer) -> None:
    """Who leaves a stream leaves it there, too."""
    body = {"messages": HI, "max_tokens": 1900, "stream": True, "stop_on_repetition": False}
    with httpx.stream("POST", f"{relay.url}/v1/chat/completions", json=body, timeout=60) as reply:
        next(reply.iter_lines())
    relay.wait_until_idle()
    server.wait_until_idle()


def test_a_remote_llm_of_a_relay(relay: LiveServer) -> None:
    """It is told from others by its routes, so that counts stay exact."""
    with RemoteLLM(relay.url) as llm:
        assert llm.counts_exactly
        assert llm.count(HI) == len(llm.prompt(HI).ids)
        assert llm.chat(HI, max_tokens=3).usage.completion_tokens == 3
