"""A model on our own server, over a real socket: what it says here and there is the same."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from longctx import (
    BackendError,
    ContextOverflowError,
    LongContextLLM,
    PlanError,
    RemoteError,
    RequestError,
    TemplateError,
    ToolError,
)
from longctx.remote import RemoteLLM, connect
from longctx.types import Completion, Progress
from tests.server.endless import ENDLESS, EndlessLLM
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


def test_the_window_and_the_counts_are_the_servers(
    remote: RemoteLLM, tiny_llm: LongContextLLM
) -> None:
    """Text, conversations, calls, results and tools: exact, by the server's own template."""
    assert (remote.model, remote.target_ctx, remote.overflow) == ("tiny", 2048, "error")
    assert remote.counts_exactly
    assert "counts exact" in repr(remote)
    for text in ("", "Hello, world.", "<|im_end|> is text", "ümläut 你好 🎉"):
        assert remote.count(text) == tiny_llm.count(text)
    call = {"id": "1", "name": "weather", "arguments": {"city": "Rome"}}
    conversation = [
        *QUESTION,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    for messages in (QUESTION, conversation):
        assert remote.count(messages) == tiny_llm.count(messages)
        assert remote.count(messages, [WEATHER]) == tiny_llm.count(messages, [WEATHER])


def test_an_answer_is_what_the_model_says_here(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """Text, counts, window and timings; the second time the prompt is cached."""
    own = tiny_llm.chat(QUESTION, max_tokens=12)
    there = remote.chat(QUESTION, max_tokens=12)
    assert (there.text, there.finish_reason) == (own.text, own.finish_reason)
    assert there.message == own.message
    assert there.usage.prompt_tokens == own.usage.prompt_tokens
    assert there.usage.completion_tokens == own.usage.completion_tokens
    assert there.usage.cached_tokens == there.usage.prompt_tokens - 1
    assert there.usage.prefilled_tokens == 1
    assert there.window == own.window
    assert there.timings.ttft_s > 0


def test_several_conversations_at_once(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """Each gets its own answer, in order; progress is of all; the first error ends it."""
    asked = [[{"role": "user", "content": f"Say {word}."}] for word in ("one", "two", "three")]
    seen: list[Progress] = []
    there = remote.chat_batch(asked, max_tokens=6, on_progress=seen.append)
    own = [tiny_llm.chat(messages, max_tokens=6) for messages in asked]
    assert [answer.text for answer in there] == [answer.text for answer in own]
    total = sum(remote.count(messages) for messages in asked)
    assert (seen[-1].done_tokens, seen[-1].total_tokens) == (total, total)
    with pytest.raises(ContextOverflowError):
        remote.chat_batch([*asked, [{"role": "user", "content": "word " * 3000}]], max_tokens=6)
    assert remote.chat_batch([]) == []


def test_options_reach_the_model(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """Sampling, seed and stop strings."""
    for options in (
        {"temperature": 1.5, "seed": 7, "max_tokens": 20},
        {"temperature": 1.0, "top_p": 0.5, "seed": 1, "max_tokens": 20},
        {"temperature": 2.0, "top_k": 9, "min_p": 0.1, "seed": 1, "max_tokens": 20},
        {"frequency_penalty": 1, "dry_multiplier": 0.8, "max_tokens": 20},
        {"logit_bias": {" the": 100, 5: -3}, "max_tokens": 5},
        {"max_tokens": 16},
        {"max_tokens": 0},
    ):
        assert remote.chat(QUESTION, **options).text == tiny_llm.chat(QUESTION, **options).text
    loop = {"logit_bias": {" the": 100}, "max_tokens": 500}
    assert remote.chat(QUESTION, **loop).finish_detail == "repetition"
    assert remote.chat(QUESTION, **loop, stop_on_repetition=False).finish_detail is None
    text = tiny_llm.chat(QUESTION, max_tokens=16).text
    stopped = remote.chat(QUESTION, stop=text[4:7])
    assert stopped.text == text[: text.index(text[4:7])]
    assert stopped.stop_sequence == text[4:7]
    assert remote.chat(QUESTION).stop_sequence is None


def test_plain_text_and_likely_tokens(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """Texts and token ids are continued; the model's log-probabilities come by their text."""
    for prompt in ("The function returns", tiny_llm.prompt_ids("The function returns")):
        for top in (None, 2):
            options: Any = {"max_tokens": 6, "top_logprobs": top}
            here, there = tiny_llm.generate(prompt, **options), remote.generate(prompt, **options)
            assert (there.text, there.usage.prompt_tokens) == (here.text, here.usage.prompt_tokens)
            _same_tokens(here, there)
    asked: Any = {"max_tokens": 6, "top_logprobs": 3}
    _same_tokens(tiny_llm.chat(QUESTION, **asked), remote.chat(QUESTION, **asked))
    text = "some text, and more"
    assert remote.tokenize(text) == tiny_llm.tokenize(text)
    assert remote.detokenize(remote.tokenize(text)) == text
    assert remote.prompt(QUESTION).ids == tiny_llm.prompt_ids(QUESTION)


def _same_tokens(here: Completion, there: Completion) -> None:
    assert [token.data for token in there.logprobs] == [token.data for token in here.logprobs]
    for a, b in zip(here.logprobs, there.logprobs, strict=True):
        assert b.logprob == pytest.approx(a.logprob, abs=1e-3)
        # A text completion lists the token that was taken among the top ones.
        assert {token.data for token in a.top} <= {token.data for token in b.top}


def test_a_part_of_the_window_is_held_to(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """By this side, for the server has more: the prompt is counted first, with its switches."""
    with RemoteLLM(server.url, target_ctx=128, reserve_output=8) as llm:
        n = llm.count(QUESTION)
        filled = llm.chat(QUESTION, stop_on_repetition=False)
        assert filled.usage.completion_tokens <= 128 - n
        assert llm.chat(QUESTION, max_tokens=128 - n).usage.completion_tokens > 0
        with pytest.raises(ContextOverflowError) as caught:
            llm.chat(QUESTION, max_tokens=129 - n)
        assert (caught.value.needed, caught.value.n_ctx) == (129, 128)


def test_a_stream_is_the_answer_in_pieces(remote: RemoteLLM) -> None:
    """The last chunk has the result; progress of the prefill is told."""
    seen: list[Progress] = []
    messages = [{"role": "user", "content": "A line of text. " * 90}]
    chunks = list(remote.stream_chat(messages, max_tokens=8, on_progress=seen.append))
    result = chunks[-1].result
    assert result is not None
    assert len(chunks) > 3
    assert "".join(chunk.text for chunk in chunks) == result.text
    assert seen[-1].done_tokens == seen[-1].total_tokens > 500


def test_tools_and_schemas_are_held_to(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """A required call, one by its name, and an answer that satisfies a schema."""
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        options: Any = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 100}
        there, own = remote.chat(QUESTION, **options), tiny_llm.chat(QUESTION, **options)
        assert there.finish_reason == "tool_calls"
        (call,) = there.tool_calls
        assert (call.name, call.arguments) == ("weather", own.tool_calls[0].arguments)
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    answer = remote.chat(QUESTION, response_schema=schema, max_tokens=60)
    assert json.loads(answer.text)["a"] in (1, 2)


def test_what_does_not_fit_is_refused_with_its_numbers(remote: RemoteLLM) -> None:
    """At once, streamed too; the numbers are the server's."""
    long: Any = [{"role": "user", "content": "word " * 3000}]
    for ask in (remote.chat, remote.stream_chat):
        with pytest.raises(ContextOverflowError, match="Nothing was cut") as caught:
            ask(long)
        assert caught.value.n_ctx == caught.value.available == 2048
        assert caught.value.needed == remote.count(long) + 16


@pytest.mark.parametrize(
    ("messages", "options", "kind", "said"),
    [
        ([], {}, TemplateError, "empty"),
        ("Hi", {}, TemplateError, "list of"),
        (QUESTION, {"max_tokens": -2}, RequestError, "max_tokens"),
        (QUESTION, {"max_tokens": 2048}, ContextOverflowError, "may take 2048"),
        (QUESTION, {"max_tokens": True}, RequestError, "max_tokens"),
        (QUESTION, {"temperature": -1.0}, RequestError, "temperature"),
        (QUESTION, {"temperature": float("nan")}, RequestError, "temperature"),
        (QUESTION, {"tools": [{"type": "function", "function": {"name": "no space"}}]},
         ToolError, "no space"),
        (QUESTION, {"tools": [{"function": object()}]}, ToolError, "no tool"),
        (QUESTION, {"tool_choice": "required"}, ToolError, "no tools"),
        (QUESTION, {"response_schema": 7}, RequestError, "response_schema"),
        ([{"role": "user", "content": "\ud800"}], {}, RequestError, "surrogate"),
    ],
)  # fmt: skip
def test_nonsense_is_a_typed_error(
    remote: RemoteLLM, messages: Any, options: Any, kind: type[Exception], said: str
) -> None:
    """Here or there, and the client goes on to work."""
    with pytest.raises(kind, match=said):
        remote.chat(messages, **options)
    assert remote.chat(QUESTION, max_tokens=1).usage.completion_tokens == 1


def test_a_key_and_a_model_that_are_not_there(tiny_llm: LongContextLLM) -> None:
    """The message says what to pass."""
    with serving(tiny_llm, model_id="tiny", api_key="open sesame") as live:
        for key in (None, "wrong"):
            with pytest.raises(RemoteError, match="api_key") as caught:
                RemoteLLM(live.url, api_key=key)
            assert caught.value.status == 401
        with RemoteLLM(live.url, api_key="open sesame") as llm:
            assert llm.count("Hi") == tiny_llm.count("Hi")
        with pytest.raises(RemoteError, match="'tiny'"):
            RemoteLLM(live.url, "gpt-4o", api_key="open sesame")


def test_no_server_is_said_to_be_none(server: LiveServer) -> None:
    """Nobody listens, or it is another kind of server, or no address at all."""
    with pytest.raises(RemoteError, match="is the server running") as caught:
        RemoteLLM("http://127.0.0.1:9")
    assert caught.value.status is None
    with pytest.raises(RemoteError, match="base_url"):
        RemoteLLM(f"{server.url}/nowhere")
    for url in ("localhost:8000", "", None, "http://", "http://[bad"):
        with pytest.raises(RequestError):
            RemoteLLM(url)  # type: ignore[arg-type]
    nonsense: Any
    for nonsense in (
        {"api_key": "line\nbreak"},
        {"api_key": "ключ"},
        {"timeout_s": 0},
        {"timeout_s": "long"},
        {"retries": -1},
        {"counting": "tiktoken"},
    ):
        with pytest.raises(RequestError, match=next(iter(nonsense))):
            RemoteLLM(server.url, **nonsense)


def test_a_busy_server_is_asked_again(tiny_llm: LongContextLLM) -> None:
    """After the time that it asks for; with no retries left its error says when."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny", max_waiting=0) as live:
        eager = RemoteLLM(live.url, retries=0)
        patient = RemoteLLM(live.url, retries=60)
        stream = eager.stream_chat(ENDLESS)
        next(stream)
        with pytest.raises(RemoteError, match="busy") as caught:
            eager.chat(QUESTION, max_tokens=1)
        assert caught.value.status == 429
        assert caught.value.retry_after_s is not None
        threading.Timer(0.5, stream.close).start()  # type: ignore[attr-defined]
        assert patient.chat(QUESTION, max_tokens=1).usage.completion_tokens == 1
        eager.close()
        patient.close()


def test_a_closed_stream_frees_the_server(tiny_llm: LongContextLLM) -> None:
    """Also one that was never read."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny") as live, RemoteLLM(live.url) as llm:
        for reads in (0, 3):
            endless.closed.clear()
            stream = llm.stream_chat(ENDLESS)
            for _ in range(reads):
                next(stream)
            stream.close()  # type: ignore[attr-defined]
            live.wait_until_idle()
        assert llm.chat(QUESTION, max_tokens=1).text is not None


def test_threads_and_tasks_share_a_client(remote: RemoteLLM, tiny_llm: LongContextLLM) -> None:
    """Answers asked side by side are those asked one after another."""
    prompts = [[{"role": "user", "content": f"Number {i}."}] for i in range(4)]

    async def ask() -> list[str]:
        answers = await asyncio.gather(*(remote.achat(p, max_tokens=6) for p in prompts))
        streamed = [chunk async for chunk in remote.astream_chat(prompts[0], max_tokens=6)]
        assert streamed[-1].result is not None
        assert streamed[-1].result.text == answers[0].text
        return [answer.text for answer in answers]

    assert asyncio.run(ask()) == [tiny_llm.chat(p, max_tokens=6).text for p in prompts]


def test_long_context_llm_with_a_backend(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """backend='openai' is a RemoteLLM; what the server decides is refused."""
    with LongContextLLM(backend="openai", base_url=f"{server.url}/v1", reserve_output=16) as llm:
        assert isinstance(llm, RemoteLLM)
        here, there = (model.chat(QUESTION, max_tokens=16) for model in (tiny_llm, llm))
        assert here.text == there.text
        assert llm.target_ctx == 2048
    smaller = LongContextLLM("tiny", 1024, backend="openai", base_url=server.url, reserve_output=0)
    assert smaller.target_ctx == 1024
    smaller.close()
    for options, said in (
        ({"backend": "openai"}, "base_url"),
        ({"backend": "openai", "base_url": server.url, "n_threads": 2}, "n_threads"),
        ({"backend": "mlx"}, "'openai'"),
        ({"base_url": server.url}, "longctx.connect"),
    ):
        with pytest.raises(RequestError, match=said):
            LongContextLLM(**options)


def test_windows_that_cannot_be(server: LiveServer) -> None:
    """More than the server has, none, and one that the answer takes up."""
    for options, said in (
        ({"target_ctx": 4096}, "2,048"),
        ({"target_ctx": 0}, "2,048"),
        ({"target_ctx": "2k"}, "whole number"),
        ({"target_ctx": 512, "reserve_output": 512}, "reserve_output"),
        ({"reserve_output": "all"}, "reserve_output"),
    ):
        with pytest.raises(PlanError, match=said):
            connect(server.url, **options)


def test_a_closed_client_says_so(server: LiveServer) -> None:
    """Closing twice is harmless."""
    llm = connect(server.url)
    llm.close()
    llm.close()
    with pytest.raises(BackendError, match="closed"):
        llm.chat(QUESTION)
    with pytest.raises(BackendError, match="closed"):
        llm.count("Hi")
