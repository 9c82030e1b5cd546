"""Many clients of one model: turns, limits, and those who leave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from openai import APIError, APIStatusError, OpenAI, RateLimitError

from longctx import LongContextLLM
from tests.server.endless import ENDLESS, SHORT, EndlessLLM
from tests.server.live_server import LiveServer, serving


@contextmanager
def _streaming(live: LiveServer, messages: Any = ENDLESS) -> Iterator[Iterator[str]]:
    """An open stream that has begun; leaving the block hangs up."""
    asked = {"messages": messages, "stream": True}
    with live.http() as http, http.stream("POST", "/v1/chat/completions", json=asked) as reply:
        assert reply.status_code == 200
        lines = reply.iter_lines()
        next(lines)
        yield lines


def _answered(live: LiveServer, **client: Any) -> bool:
    """Whether a short question gets its answer."""
    answer = live.openai(**client).chat.completions.create(
        model="tiny", messages=SHORT, max_tokens=2
    )
    return bool(answer.id)


def test_a_full_queue_says_when_to_come_again(tiny_llm: LongContextLLM) -> None:
    """Two under way: the third is a 429 with Retry-After; later it is let in."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny", max_waiting=1) as live:
        with _streaming(live), _streaming(live):
            live.wait_for_jobs(2)
            with pytest.raises(RateLimitError, match="at most 2 may be") as caught:
                _answered(live)
            assert caught.value.code == "queue_full"
            assert int(caught.value.response.headers["retry-after"]) >= 1
        live.wait_until_idle()
        assert _answered(live)


def test_the_official_client_comes_again_by_itself(tiny_llm: LongContextLLM) -> None:
    """It reads Retry-After."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny", max_waiting=0) as live:
        client = live.openai(max_retries=60)
        with ThreadPoolExecutor(1) as pool:
            with _streaming(live):
                live.wait_for_jobs(1)
                later = pool.submit(
                    client.chat.completions.create, model="tiny", messages=SHORT, max_tokens=1
                )
                while _refused(live) == 0:
                    threading.Event().wait(0.02)
            assert later.result(60).choices[0].finish_reason


def _refused(live: LiveServer) -> int:
    lines = httpx.get(f"{live.url}/metrics", timeout=60).text.splitlines()
    return sum(
        line.startswith("longctx_requests_total") and 'status="429"' in line for line in lines
    )


def test_who_hangs_up_in_a_stream_frees_the_model(tiny_llm: LongContextLLM) -> None:
    """The answer is closed where it stands."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny") as live:
        with _streaming(live) as lines:
            assert any("on and" in line for line in lines)
        assert endless.closed.wait(60)
        assert _answered(live)


def test_who_hangs_up_before_a_whole_answer_frees_the_model(tiny_llm: LongContextLLM) -> None:
    """Not only streams."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny") as live:
        live.leave("/v1/chat/completions", {"messages": ENDLESS}, lambda: endless.n_started == 1)
        assert endless.closed.wait(60)
        assert _answered(live)


def test_who_hangs_up_at_any_moment_frees_the_model(tiny_llm: LongContextLLM) -> None:
    """While the request is taken, or a token comes: nothing goes on."""
    with serving(EndlessLLM(tiny_llm, pause_s=0.0002), model_id="tiny", max_waiting=99) as live:
        url, asked = f"{live.url}/v1/chat/completions", {"messages": ENDLESS}
        for i in range(40):
            with pytest.raises(httpx.TimeoutException):
                httpx.post(url, json=asked, timeout=0.002 * (i + 1))
        live.wait_until_idle()


def test_who_hangs_up_leaves_the_others_undisturbed(tiny_llm: LongContextLLM) -> None:
    """Its place is free at once, while the answer beside it goes on."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny") as live:
        with _streaming(live) as lines:
            with _streaming(live):
                live.wait_for_jobs(2)
            live.wait_for_jobs(1)
            assert endless.closed.wait(60)
            assert any("on and" in line for line in lines)
        live.wait_until_idle()
        assert _answered(live)


def test_who_hangs_up_in_a_prefill_leaves_a_good_cache(
    server: LiveServer, client: OpenAI, tiny_llm: LongContextLLM
) -> None:
    """The same text is answered as it would have been."""
    text: Any = [{"role": "user", "content": "Many words. " * 140}]
    with _streaming(server, text) as lines:
        assert next(line for line in lines if line).startswith((": prefill", "data"))
    server.wait_until_idle()
    told = (
        client.chat.completions.create(model="tiny", messages=text, max_tokens=1, logprobs=True)
        .choices[0]
        .logprobs
    )
    fresh = tiny_llm.session()
    fresh.feed(tiny_llm.prompt_ids(text))
    logits = fresh.next_logits()[0].astype(float)
    fresh.close()
    likely = logits.max() - np.log(np.exp(logits).sum())
    assert told is not None
    assert told.content is not None
    assert told.content[0].logprob == pytest.approx(likely, abs=5e-3)


def test_the_time_limit(tiny_llm: LongContextLLM) -> None:
    """504, and the model is free again."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny", timeout_s=1.0) as live:
        with pytest.raises(APIStatusError, match=r"within 1 s") as caught:
            live.openai().chat.completions.create(model="tiny", messages=ENDLESS)
        assert caught.value.status_code == 504
        assert caught.value.code == "timeout"
        assert endless.closed.wait(60)
        live.wait_until_idle()
        assert _answered(live, max_retries=60)  # within a second, at some time


def test_the_time_limit_of_a_stream(tiny_llm: LongContextLLM) -> None:
    """Its status is sent already: the last event is the error, and no [DONE] follows."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny", timeout_s=2.0) as live:
        with _streaming(live) as lines:
            *_, last = (line for line in lines if line)
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"
        with pytest.raises(APIError, match="within 2 s"):
            list(live.openai().chat.completions.create(model="tiny", messages=ENDLESS, stream=True))


def test_clients_at_once_get_their_own_answers(
    server: LiveServer, tiny_llm: LongContextLLM
) -> None:
    """Eight, streamed and whole in turn: each as if it were alone."""
    # Who is written beside whom rounds otherwise, by 0.0015 nats: the second likeliest token is
    # 0.013 and more behind in these answers.
    asked: list[Any] = [[{"role": "user", "content": f"Baker {i}. " * (i + 1)}] for i in range(8)]
    together = threading.Barrier(8)

    def ask(i: int) -> str:
        create: Any = server.openai().chat.completions.create
        together.wait(60)
        options = {"model": "tiny", "messages": asked[i], "max_tokens": 10}
        if i % 2:
            chunks = create(**options, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return str(create(**options).choices[0].message.content)

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(ask, range(8)))
    assert texts == [tiny_llm.chat(messages, max_tokens=10).text for messages in asked]
    assert len(set(texts)) > 4  # noise repeats itself, but a mix-up would show


def test_second_turns_find_their_first(server: LiveServer) -> None:
    """Two conversations in turns: each finds its own prompt and answer in the cache."""
    client = server.openai()
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "yes", "schema": {"const": "yes"}},
    }
    talks: list[list[Any]] = [
        [{"role": "user", "content": f"{name} speaks first."}] for name in ("Ada", "Bob")
    ]
    held = []
    for talk in talks:
        answer = client.chat.completions.create(
            model="tiny", messages=talk, max_tokens=16, response_format=form
        )
        assert answer.usage is not None
        # The last token is drawn, and not in the cache.
        held.append(answer.usage.prompt_tokens + answer.usage.completion_tokens - 1)
        said = answer.choices[0].message.content
        talk += [{"role": "assistant", "content": said}, {"role": "user", "content": "And?"}]
    for talk, n in zip(talks, held, strict=True):
        usage = client.chat.completions.create(model="tiny", messages=talk, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens == n
