"""Anthropic's Messages API, asked by the official client over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic

from longctx import LongContextLLM, Message
from longctx.testing import Reply
from tests.server.breaking import BreakingLLM
from tests.server.live_server import PATIENCE_S, LiveServer, serving
from tests.server.scripted import CALLS, THOUGHT, scripted
from tests.server.test_reasoning import THINKS

QUESTION = "Is it warm in Rome and in Oslo?"
HI: Any = [{"role": "user", "content": QUESTION}]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}},
        "required": ["city"],
    },
    "cache_control": {"type": "ephemeral"},
}


def _claude(live: LiveServer, key: str = "none") -> Anthropic:
    return Anthropic(base_url=live.url, api_key=key, max_retries=0, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def claude(server: LiveServer) -> Anthropic:
    """The official client."""
    return _claude(server)


def test_an_answer_is_what_the_model_says(claude: Anthropic, tiny_llm: LongContextLLM) -> None:
    """The same tokens as in Python; the prompt is what was prefilled and what was in the cache."""
    answer = claude.messages.create(model="tiny", max_tokens=12, messages=HI, system="Be brief.")
    own = tiny_llm.chat([{"role": "system", "content": "Be brief."}, *HI], max_tokens=12)
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == own.text
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == own.usage.completion_tokens
    prompt = answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    assert prompt == own.usage.prompt_tokens


def test_cached_tokens_are_told(claude: Anthropic) -> None:
    """All but the last token of a prompt that was just asked; nothing is paid for the rest."""
    asked: Any = {"model": "tiny", "max_tokens": 1}
    asked["messages"] = [{"role": "user", "content": "Thrice the same."}]
    asked["system"] = [{"type": "text", "text": "Yes.", "cache_control": {"type": "ephemeral"}}]
    claude.messages.create(**asked)
    usage = claude.messages.create(**asked).usage
    assert usage.input_tokens == 1
    assert usage.cache_creation_input_tokens == 0
    total = claude.messages.count_tokens(model="tiny", messages=asked["messages"], system="Yes.")
    assert usage.cache_read_input_tokens == total.input_tokens - 1


def test_counted_tokens_are_what_is_prefilled(claude: Anthropic) -> None:
    """Tools included."""
    asked: Any = {"model": "tiny", "messages": HI, "tools": [WEATHER]}
    counted = claude.messages.count_tokens(**asked).input_tokens
    usage = claude.messages.create(**asked, tool_choice={"type": "none"}, max_tokens=1).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    with claude.messages.stream(**asked, tool_choice={"type": "none"}, max_tokens=1) as stream:
        first: Any = next(iter(stream))
    assert first.message.usage.input_tokens == counted


@pytest.mark.parametrize("stream", [False, True])
def test_the_stop_sequence_that_came_is_told(
    claude: Anthropic, tiny_llm: LongContextLLM, stream: bool
) -> None:
    """Of several the one that ended it; it is not part of the answer."""
    text = tiny_llm.chat(HI, max_tokens=12).text
    came = text[4:7]
    asked: Any = {"model": "tiny", "max_tokens": 12, "messages": HI}
    asked["stop_sequences"] = ["never said", came]
    if stream:
        with claude.messages.stream(**asked) as pieces:
            answer: Any = pieces.get_final_message()
    else:
        answer = claude.messages.create(**asked)
    assert answer.stop_reason == "stop_sequence"
    assert answer.stop_sequence == came
    assert answer.content[0].text == text[: text.index(came)]


def test_a_last_message_of_the_assistants_is_continued(
    claude: Anthropic, tiny_llm: LongContextLLM
) -> None:
    """Its words are not repeated."""
    begun: Any = [*HI, {"role": "assistant", "content": [{"type": "text", "text": "The special"}]}]
    answer = claude.messages.create(model="tiny", max_tokens=6, messages=begun)
    own = tiny_llm.chat([*HI, {"role": "assistant", "content": "The special"}], max_tokens=6)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == own.text


def test_an_answer_may_take_what_the_window_has_left(claude: Anthropic) -> None:
    """Clients ask for the most that a model of Anthropic's can write; that fills this window."""
    long: Any = [{"role": "user", "content": "w " * 900}]
    answer = claude.messages.create(
        model="tiny",
        max_tokens=64_000,
        messages=long,
        extra_body={"stop_on_repetition": False, "logit_bias": {"<|im_end|>": -100}},
    )
    usage = answer.usage
    assert answer.stop_reason == "model_context_window_exceeded"
    prompt = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert prompt + usage.output_tokens == 2048


def test_events_come_in_their_order(tiny_llm: LongContextLLM) -> None:
    """Each block starts, grows and stops before the next; the message is that of no stream."""
    with scripted(tiny_llm, [THOUGHT, THOUGHT]) as (live, _):
        asked: Any = {"model": "tiny", "max_tokens": 99, "messages": HI, "tools": [WEATHER]}
        raw: Any = list(_claude(live).messages.create(**asked, stream=True))
        with _claude(live).messages.stream(**asked) as stream:
            final = stream.get_final_message()
    told = [(event.type, getattr(getattr(event, "delta", None), "type", "")) for event in raw]
    once = [each for i, each in enumerate(told) if told[i - 1 : i] != [each]]

    def block(*deltas: str) -> list[tuple[str, str]]:
        grown = [("content_block_delta", f"{delta}_delta") for delta in deltas]
        return [("content_block_start", ""), *grown, ("content_block_stop", "")]

    assert once == [
        ("message_start", ""),
        *block("thinking", "signature"),
        *block("text"),
        *block("input_json"),
        *block("input_json"),
        ("message_delta", ""),
        ("message_stop", ""),
    ]
    indexes = [event.index for event in raw if event.type == "content_block_start"]
    assert indexes == [0, 1, 2, 3]
    thoughts, words, *calls = final.content
    assert thoughts.type == "thinking"
    assert thoughts.thinking == THOUGHT.reasoning
    assert words.type == "text"
    assert words.text == THOUGHT.content
    assert [(c.id, c.name, c.input) for c in calls if c.type == "tool_use"] == [
        (call.id, call.name, call.arguments) for call in CALLS
    ]
    assert final.stop_reason == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_tools(tiny_llm: LongContextLLM, stream: bool) -> None:
    """What was answered is sent back, and the model reads it as it was; a failure is named."""
    with scripted(tiny_llm, [THOUGHT, "Warm in Rome."]) as (live, fake):
        client = _claude(live)
        asked: Any = {"model": "tiny", "max_tokens": 99, "tools": [WEATHER]}
        if stream:
            with client.messages.stream(**asked, messages=HI) as pieces:
                first: Any = pieces.get_final_message()
        else:
            first = client.messages.create(**asked, messages=HI)
        called = [block for block in first.content if block.type == "tool_use"]
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": called[0].id, "content": "14 C"},
            {
                "type": "tool_result",
                "tool_use_id": called[1].id,
                "content": [{"type": "text", "text": "no such city"}],
                "is_error": True,
            },
            {"type": "text", "text": "Go on."},
        ]
        sent = [block.model_dump(exclude={"parsed_output"}) for block in first.content]
        turns: Any = [
            *HI,
            {"role": "assistant", "content": sent},
            {"role": "user", "content": results},
        ]
        after = client.messages.create(**asked, messages=turns, system="Be brief.")
    assert after.content[0].type == "text"
    assert after.content[0].text == "Warm in Rome."
    assert after.stop_reason == "end_turn"
    assert list(fake.calls[-1].messages) == [
        Message(role="system", content="Be brief."),
        Message(role="user", content=QUESTION),
        THOUGHT,
        Message(role="tool", content="14 C", tool_call_id=CALLS[0].id),
        Message(role="tool", content="Error: no such city", tool_call_id=CALLS[1].id),
        Message(role="user", content="Go on."),
    ]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_a_forced_call_of_a_real_model(claude: Anthropic, choice: Any) -> None:
    """It is held to the schema of its tool; one call is one."""
    answer = claude.messages.create(
        model="tiny",
        max_tokens=200,
        messages=HI,
        tools=[WEATHER],
        tool_choice={**choice, "disable_parallel_tool_use": True},
    )
    assert answer.stop_reason == "tool_use"
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert call.name == "weather"
    assert call.input["city"] in ("Rome", "Oslo")


def test_a_schema_holds_the_answer(claude: Anthropic) -> None:
    """``output_config.format``."""
    schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
    answer = claude.messages.create(
        model="tiny",
        max_tokens=60,
        messages=HI,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert answer.content[0].type == "text"
    assert isinstance(json.loads(answer.content[0].text)["warm"], bool)


@pytest.fixture(scope="module")
def thinking(tiny_gguf: Any) -> Iterator[Anthropic]:
    """A client of a model whose template opens the thoughts, with a switch for it."""
    with (
        LongContextLLM(
            tiny_gguf(), 1024, reserve_output=16, n_threads=1, chat_template=THINKS
        ) as llm,
        serving(llm, model_id="tiny") as live,
    ):
        yield _claude(live)


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, True),
        ({}, True),
    ],
)
def test_thinking_is_switched(thinking: Anthropic, fields: dict[str, Any], thinks: bool) -> None:
    """Where nothing is said it is as the template has it."""
    answer = thinking.messages.create(model="tiny", max_tokens=8, messages=HI, **fields)
    assert [block.type for block in answer.content] == ["thinking" if thinks else "text"]
    details = answer.usage.output_tokens_details
    assert details is not None
    assert (details.thinking_tokens > 0) is thinks


def test_a_thought_ends_with_its_budget(thinking: Anthropic) -> None:
    """Then it is closed, and the answer begins."""
    answer = thinking.messages.create(
        model="tiny",
        max_tokens=40,
        messages=HI,
        thinking={"type": "enabled", "budget_tokens": 4},
    )
    assert [block.type for block in answer.content] == ["thinking", "text"]


# What is wrong


@pytest.fixture(scope="module")
def refusing(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """It answers nothing that is wrong."""
    replies: list[Reply] = []
    with scripted(tiny_llm, replies) as (live, _):
        yield live


def _says(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "'robot' is not supported here"),
        (_says({"type": "image", "source": {}}), "'image' is not supported here"),
        (_says({"type": "document", "source": {}}), "'document' is not supported here"),
        (_says({"type": "tool_use", "id": "a", "name": "b", "input": {}}), "of the role 'user'"),
        (
            _says({"type": "tool_result", "tool_use_id": "a"}, role="assistant"),
            "of the role 'assistant'",
        ),
        (
            _says({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}),
            "'image' is not supported here",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "'web_search_20250305' is not supported here",
        ),
        ({"tools": [{"name": "a"}]}, "input_schema"),
        ({"tool_choice": {"type": "any"}}, "there are no tools"),
        ({"tool_choice": {"type": "tool"}}, "name is given"),
        ({"thinking": {"type": "enabled"}}, "budget_tokens"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_nonsense_is_a_400(refusing: LiveServer, body: dict[str, Any], said: str) -> None:
    """In Anthropic's shape, and words that name the fault."""
    whole = {"max_tokens": 9, "messages": HI, **body}
    reply = httpx.post(f"{refusing.url}/v1/messages", json=whole, timeout=60)
    assert reply.status_code == 400, reply.text
    document = reply.json()
    assert document["type"] == "error"
    assert document["error"]["type"] == "invalid_request_error"
    assert said in document["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_is_said_in_words_that_clients_know(claude: Anthropic, stream: bool) -> None:
    """A 400 before a stream begins."""
    long: Any = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 2048 m"):
        claude.messages.create(model="tiny", max_tokens=9, messages=long, stream=stream)


def test_another_model_is_not_there(claude: Anthropic) -> None:
    """This one answers, and the client is warned: agents hard-code names."""
    reply = claude.messages.with_raw_response.create(model="claude", max_tokens=9, messages=HI)
    assert "'claude'" in reply.headers["Longctx-Warning"]
    assert reply.parse().model == "tiny"


def test_the_key_is_sent_as_anthropic_does(tiny_llm: LongContextLLM) -> None:
    """``X-Api-Key``; with OpenAI's header it is the same key, and a wrong one is told so."""
    with serving(tiny_llm, model_id="tiny", api_key="open sesame") as live:
        asked: Any = {"model": "tiny", "max_tokens": 1, "messages": HI}
        assert _claude(live, "open sesame").messages.create(**asked).content
        by_token = Anthropic(base_url=live.url, auth_token="open sesame", max_retries=0)
        assert by_token.messages.create(**asked).content
        with pytest.raises(anthropic.AuthenticationError, match="X-Api-Key"):
            _claude(live, "open").messages.create(**asked)


def test_what_breaks_off_is_an_error(tiny_llm: LongContextLLM) -> None:
    """An event of that name, which the official client raises."""
    with serving(BreakingLLM(tiny_llm), model_id="tiny") as live:
        stream = _claude(live).messages.create(model="tiny", max_tokens=9, messages=HI, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="graphics card"):
            list(stream)
