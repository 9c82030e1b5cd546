"""Plain text, continued, asked by the official client over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from longctx import LongContextLLM
from tests.server.live_server import LiveServer

PROMPT = "Once upon a time there was"


def test_an_answer_is_what_the_model_says(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """Without a chat template; every count is that of LongContextLLM.generate."""
    answer = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=12)
    own = tiny_llm.generate(PROMPT, max_tokens=12)
    (choice,) = answer.choices
    assert choice.text == own.text
    assert choice.finish_reason == own.finish_reason
    assert answer.object == "text_completion"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == own.usage.prompt_tokens
    assert answer.usage.completion_tokens == own.usage.completion_tokens
    assert answer.usage.total_tokens == own.usage.prompt_tokens + own.usage.completion_tokens


def test_a_stream_is_the_same_answer(client: OpenAI) -> None:
    """Joined; the last choice says why it ended, and the usage comes after it."""
    whole = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=12)
    *chunks, counts = client.completions.create(
        model="tiny",
        prompt=PROMPT,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len(chunks) > 3
    assert counts.choices == []
    assert counts.usage is not None
    assert whole.usage is not None
    assert counts.usage.completion_tokens == whole.usage.completion_tokens


def test_seeds_repeat_and_differ(client: OpenAI) -> None:
    """Sampling is a function of the seed."""
    texts = [
        client.completions.create(
            model="tiny", prompt=PROMPT, max_tokens=12, temperature=1.5, seed=seed
        )
        .choices[0]
        .text
        for seed in (-7, -7, 8)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_end_the_answer(
    client: OpenAI, tiny_llm: LongContextLLM, stream: bool
) -> None:
    """They are not part of it, also where they span tokens."""
    whole = tiny_llm.generate(PROMPT, max_tokens=12).text
    stop = whole[3:6]
    options: Any = {"model": "tiny", "prompt": PROMPT, "max_tokens": 12, "stop": stop}
    if stream:
        chunks = list(client.completions.create(**options, stream=True))
        text, reason = "".join(c.choices[0].text for c in chunks), chunks[-1].choices[0]
    else:
        (reason,) = client.completions.create(**options).choices
        text = reason.text
    assert text == whole[: whole.index(stop)]
    assert reason.finish_reason == "stop"


def test_prompts_are_lists_and_token_ids(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """Each has answers of its own, by index; ids are continued as they are, and echoed as text."""
    ids = tiny_llm.prompt_ids(PROMPT)
    alone = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=4)
    assert alone.usage is not None
    for prompt in ([PROMPT], ids, [ids]):
        listed = client.completions.create(model="tiny", prompt=prompt, max_tokens=4)
        assert [choice.text for choice in listed.choices] == [alone.choices[0].text]
    several: Any = {"model": "tiny", "prompt": [PROMPT, "Another one"], "n": 2, "max_tokens": 4}
    both = client.completions.create(**several, echo=True)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    texts = [choice.text for choice in both.choices]
    assert [text.startswith(PROMPT) for text in texts] == [True, True, False, False]
    assert [text.startswith("Another one") for text in texts] == [False, False, True, True]
    assert both.usage is not None
    n_prompt = len(ids) + len(tiny_llm.prompt_ids("Another one"))
    assert (both.usage.prompt_tokens, both.usage.completion_tokens) == (n_prompt, 16)
    streamed = ["", "", "", ""]
    for chunk in client.completions.create(**several, echo=True, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == texts
    echoed = client.completions.create(model="tiny", prompt=ids, max_tokens=0, echo=True)
    assert echoed.choices[0].text == tiny_llm.detokenize(ids)


def test_a_schema_holds_the_answer(server: LiveServer) -> None:
    """As in a chat, although OpenAI's own text completions have none."""
    asked = {
        "prompt": PROMPT,
        "max_tokens": 30,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"schema": {"type": "boolean"}},
        },
    }
    with server.http() as http:
        choice = http.post("/v1/completions", json=asked).json()["choices"][0]
    assert isinstance(json.loads(choice["text"]), bool)


def test_the_whole_window_and_one_token_more(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """What fits exactly is answered; one more is a 400 with the numbers."""
    n = len(tiny_llm.tokenize(PROMPT))
    fits: Any = {"model": "tiny", "prompt": PROMPT, "stop": tiny_llm.generate(PROMPT).text[0]}
    assert client.completions.create(**fits, max_tokens=2048 - n).choices[0].text == ""
    with pytest.raises(BadRequestError, match="1 too many") as caught:
        client.completions.create(**fits, max_tokens=2048 - n + 1)
    assert caught.value.code == "context_length_exceeded"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["needed"] == 2049
    assert caught.value.body["available"] == caught.value.body["n_ctx"] == 2048


def test_another_model_is_not_there(client: OpenAI) -> None:
    """This one answers, under its own name."""
    answer = client.completions.create(model="davinci-002", prompt=PROMPT)
    assert answer.model == "tiny"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -3]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [10**9]}, "vocabulary"),
        ({"prompt": "a", "echo": True, "logprobs": 1}, "echo"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "max_tokens": -2}, "max_tokens"),
        ({"prompt": "a", "messages": []}, "messages"),
    ],
)
def test_nonsense_is_a_400(server: LiveServer, body: dict[str, Any], said: str) -> None:
    """In OpenAI's shape, naming the field."""
    reply = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
    assert reply.status_code == 400, reply.text
    assert said in reply.json()["error"]["message"]
