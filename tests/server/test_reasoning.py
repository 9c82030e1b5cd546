"""Thoughts and calls on the wire, whole and while they are written, by the official client."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from longctx import LongContextLLM
from longctx.server import effort
from tests.models import TINY
from tests.server.live_server import serving
from tests.server.scripted import CALLS, THOUGHT, scripted

HI: list[Any] = [{"role": "user", "content": "Is it warm in Rome and in Oslo?"}]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {}}}
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '\\n</think>\\n\\n' }}"
    "{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def thinker() -> Iterator[LongContextLLM]:
    """Noise whose template opens the thoughts, with a switch for it."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1, chat_template=THINKS) as llm:
        yield llm


@pytest.fixture(scope="module")
def thinking(thinker: LongContextLLM) -> Iterator[OpenAI]:
    """A client of it, served."""
    with serving(thinker, model_id="tiny") as live:
        yield live.openai()


def test_a_whole_answer_has_its_thoughts(tiny_llm: LongContextLLM) -> None:
    """As reasoning_content; the usage counts them, and a client may send the turn again."""
    with scripted(tiny_llm, [THOUGHT, "Yes."]) as (live, fake):
        client = live.openai()
        asked = client.chat.completions.create(model="tiny", messages=HI, tools=[WEATHER])
        message: Any = asked.choices[0].message
        assert message.content == THOUGHT.content
        assert message.reasoning_content == THOUGHT.reasoning
        assert [json.loads(call.function.arguments) for call in message.tool_calls or ()] == [
            call.arguments for call in CALLS
        ]
        assert asked.usage is not None
        assert asked.usage.completion_tokens_details is not None
        assert asked.usage.completion_tokens_details.reasoning_tokens == 7
        results = [{"role": "tool", "tool_call_id": c.id, "content": "14 C"} for c in CALLS]
        turns: list[Any] = [*HI, message.model_dump(), *results]
        plain = client.chat.completions.create(model="tiny", messages=turns, tools=[WEATHER])
    assert fake.calls[-1].messages[1] == THOUGHT
    assert "reasoning_content" not in plain.choices[0].message.model_dump()


def test_a_stream_tells_everything_once(tiny_llm: LongContextLLM) -> None:
    """Thoughts, words, then calls piece by piece, and the last chunk has none of it again."""
    with scripted(tiny_llm, [THOUGHT]) as (live, _):
        chunks = list(
            live.openai().chat.completions.create(
                model="tiny", messages=HI, tools=[WEATHER], stream=True
            )
        )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = [getattr(delta, "reasoning_content", "") for delta in deltas]
    assert "".join(thoughts) == THOUGHT.reasoning
    assert sum(map(bool, thoughts)) > 2
    assert "".join(delta.content or "" for delta in deltas) == THOUGHT.content
    for index, call in enumerate(CALLS):
        first, *rest = [
            piece for delta in deltas for piece in delta.tool_calls or () if piece.index == index
        ]
        assert first.function is not None
        assert (first.id, first.type, first.function.name) == (call.id, "function", call.name)
        assert all(piece.id is None and piece.type is None for piece in rest)
        texts = [piece.function.arguments or "" for piece in (first, *rest) if piece.function]
        assert len(texts) > 2
        assert json.loads("".join(texts)) == call.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not deltas[-1].tool_calls


def test_the_clients_own_accumulator_reads_it(tiny_llm: LongContextLLM) -> None:
    """``client.chat.completions.stream`` puts the calls together."""
    with (
        scripted(tiny_llm, [THOUGHT]) as (live, _),
        live.openai().chat.completions.stream(model="tiny", messages=HI) as stream,
    ):
        message = stream.get_final_completion().choices[0].message
    assert message.content == THOUGHT.content
    calls = message.tool_calls or ()
    assert [(c.id, json.loads(c.function.arguments)) for c in calls] == [
        (call.id, call.arguments) for call in CALLS
    ]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_come_back_by_either_name(tiny_llm: LongContextLLM, name: str) -> None:
    """DeepSeek's and vLLM's older, or vLLM's newer."""
    said: Any = {"role": "assistant", "content": "Yes.", name: "It is June."}
    with scripted(tiny_llm, ["Good."]) as (live, fake):
        live.openai().chat.completions.create(model="tiny", messages=[*HI, said, *HI])
    assert fake.calls[0].messages[1].reasoning == "It is June."


def test_a_model_that_thinks(thinking: OpenAI, thinker: LongContextLLM) -> None:
    """Noise never ends its thoughts: all of it is reasoning, and no content."""
    own = thinker.chat(HI)
    assert own.reasoning
    answer = thinking.chat.completions.create(model="tiny", messages=HI)
    message = answer.choices[0].message
    assert message.reasoning_content == own.reasoning  # type: ignore[attr-defined]
    assert not message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    thought = answer.usage.completion_tokens_details.reasoning_tokens
    assert thought == own.usage.reasoning_tokens > 0


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "high"}, True),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, False),
        (
            {
                "reasoning_effort": "high",
                "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
            },
            False,
        ),
    ],
)
def test_thinking_is_switched(thinking: OpenAI, fields: dict[str, Any], thinks: bool) -> None:
    """By OpenAI's field or vLLM's and llama-server's, which is the nearer to the template."""
    answer = thinking.chat.completions.create(model="tiny", messages=HI, **fields)
    message = answer.choices[0].message
    assert bool(getattr(message, "reasoning_content", "")) is thinks
    assert bool(message.content) is not thinks


def test_an_effort_without_a_switch_is_said_once(
    client: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that always sends it is answered; what names the template's switch is not."""
    effort._say_once.cache_clear()
    with caplog.at_level(logging.WARNING, "longctx.server"):
        for word in ("low", "none", "low"):
            client.chat.completions.create(
                model="tiny", messages=HI, max_tokens=1, reasoning_effort=word
            )
    assert caplog.text.count("no effect") == 1
    with pytest.raises(BadRequestError, match="no switch"):
        client.chat.completions.create(
            model="tiny",
            messages=HI,
            extra_body={"chat_template_kwargs": {"enable_thinking": False}},
        )


@pytest.mark.parametrize(
    ("switches", "asked", "passed"),
    [
        ((True, False), "low", True),
        ((True, False), False, False),
        (("low",), "low", "low"),
        (("low",), False, None),
        ((), "low", None),
        ((True,), None, None),
    ],
)
def test_an_effort_is_what_the_template_has(switches: Any, asked: Any, passed: Any) -> None:
    """How much, where it can be told; else whether; else nothing."""

    class Switched:
        """A model whose template has these."""

        def has_thinking_switch(self, thinking: Any) -> bool:
            """Whether it is among them."""
            return thinking in switches

    model: Any = Switched()
    assert effort.with_effort(model, {}, asked).get("thinking") is passed


def test_a_call_of_a_model_that_could_think(thinking: OpenAI) -> None:
    """Held to its grammar where it does not, and streamed once."""
    stream = thinking.chat.completions.create(
        model="tiny",
        messages=HI,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="none",
        max_tokens=60,
        stream=True,
    )
    deltas = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in deltas if call.id and call.function] == ["weather"]


def test_one_call_or_several(tiny_llm: LongContextLLM) -> None:
    """parallel_tool_calls reaches the model."""
    with scripted(tiny_llm, ["Yes.", "Yes.", "Yes."]) as (live, fake):
        for value in (True, False):
            live.openai().chat.completions.create(
                model="tiny", messages=HI, tools=[WEATHER], parallel_tool_calls=value
            )
        live.openai().chat.completions.create(model="tiny", messages=HI, tools=[WEATHER])
    told = [call.options.get("parallel_tool_calls") for call in fake.calls]
    assert told == [True, False, None]


def test_the_prompt_is_counted_as_it_is_switched(thinker: LongContextLLM, thinking: OpenAI) -> None:
    """/tokenize takes the template's variables, as vLLM's does."""
    url = str(thinking.base_url).removesuffix("v1/")
    counts = [
        thinking.post(
            f"{url}tokenize",
            body={"messages": HI, "chat_template_kwargs": {"enable_thinking": on}},
            cast_to=dict[str, Any],
        )["count"]
        for on in (True, False)
    ]
    assert counts == [thinker.prompt(HI, thinking=on).n_tokens for on in (True, False)]
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({"thinking_budget": 4}, 4, 13),
        ({"reasoning_budget": 4}, 4, 13),
        ({"thinking_budget_tokens": 4, "thinking_budget": 30}, 4, 13),
        ({"reasoning_budget_tokens": 4}, 4, 13),
        ({"thinking_budget": -1}, 5, 40),
        ({"thinking_budget": 0}, 0, 0),
    ],
)
@pytest.mark.parametrize("route", ["chat", "responses"])
def test_a_budget_closes_the_thoughts(
    route: str, fields: dict[str, int], least: int, most: int, thinking: OpenAI
) -> None:
    """By any of its names; the answer follows."""
    if route == "chat":
        asked = thinking.chat.completions.create(
            model="tiny", messages=HI, max_tokens=40, extra_body=fields
        )
        said = asked.choices[0].message.content
        assert asked.usage is not None
        assert asked.usage.completion_tokens_details is not None
        n = asked.usage.completion_tokens_details.reasoning_tokens
    else:
        answer = thinking.responses.create(
            model="tiny", input=HI[0]["content"], max_output_tokens=40, extra_body=fields
        )
        said = answer.output_text
        assert answer.usage is not None
        n = answer.usage.output_tokens_details.reasoning_tokens
    assert n is not None
    assert least <= n <= most
    assert bool(said) is (most < 40)  # noise does not end its thoughts by itself


@pytest.mark.parametrize("wrong", [-2, "4", 1.5])
def test_a_budget_is_a_number_of_tokens(wrong: Any, thinking: OpenAI) -> None:
    """Named in the refusal."""
    with pytest.raises(BadRequestError, match="thinking_budget"):
        thinking.chat.completions.create(
            model="tiny", messages=HI, extra_body={"thinking_budget": wrong}
        )
