"""What clients of llama-server look for beside OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI

from longctx import LongContextLLM
from tests.server.endless import ENDLESS, EndlessLLM
from tests.server.live_server import LiveServer, serving
from tests.server.test_chat import QUESTION, WEATHER


@pytest.mark.parametrize("text", ["", "The text <|im_end|> and more.", "für 5 €"])
def test_tokens_are_text_again(server: LiveServer, text: str) -> None:
    """What /tokenize made of it."""
    with server.http() as http:
        ids = http.post("/tokenize", json={"content": text}).json()["tokens"]
        assert http.post("/detokenize", json={"tokens": ids}).json() == {"content": text}


@pytest.mark.parametrize("tokens", [[-1], [10**6], [1.5], ["a"], None])
def test_nonsense_is_not_detokenized(server: LiveServer, tokens: Any) -> None:
    """A 400."""
    reply = httpx.post(f"{server.url}/detokenize", json={"tokens": tokens}, timeout=60)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_value"


@pytest.mark.parametrize("tools", [None, [WEATHER]])
def test_the_template_is_applied(server: LiveServer, tiny_llm: LongContextLLM, tools: Any) -> None:
    """As a chat would have it."""
    with server.http() as http:
        told = http.post("/apply-template", json={"messages": QUESTION, "tools": tools}).json()
    assert told == {"prompt": tiny_llm.prompt(QUESTION, tools).rendered.text}
    assert told["prompt"].endswith("assistant\n")


def test_properties(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """The window, the template, and no path."""
    with server.http() as http:
        told = http.get("/props").json()
    assert told["default_generation_settings"]["n_ctx"] == 2048
    assert told["chat_template"] == tiny_llm.chat_template == tiny_llm.info.chat_template
    assert told["model_path"] == told["model_alias"] == "tiny"
    assert told["total_slots"] == 17


def test_slots_are_busy_while_answers_are_written(tiny_llm: LongContextLLM) -> None:
    """As many as may be under way."""
    with serving(EndlessLLM(tiny_llm), model_id="tiny", max_waiting=1) as live:
        asked = {"messages": ENDLESS, "stream": True}
        with live.http() as http, http.stream("POST", "/v1/chat/completions", json=asked):
            live.wait_for_jobs(1)
            busy = httpx.get(f"{live.url}/slots", timeout=60).json()
        live.wait_until_idle()
        idle = httpx.get(f"{live.url}/slots", timeout=60).json()
    assert [slot["is_processing"] for slot in busy] == [True, False]
    assert [slot["is_processing"] for slot in idle] == [False, False]


@pytest.mark.parametrize("path", ["/", "/health", "/v1/health", "/v1/models", "/props", "/metrics"])
def test_head_is_get_without_a_body(server: LiveServer, path: str) -> None:
    """Its status and headers."""
    told = httpx.head(f"{server.url}{path}", timeout=60)
    asked = httpx.get(f"{server.url}{path}", timeout=60)
    assert told.status_code == asked.status_code == 200
    assert told.content == b""
    assert told.headers["content-type"] == asked.headers["content-type"]


def test_head_of_nothing_is_nothing(server: LiveServer) -> None:
    """404, and 405 where one can only post."""
    assert httpx.head(f"{server.url}/nowhere", timeout=60).status_code == 404
    assert httpx.head(f"{server.url}/v1/chat/completions", timeout=60).status_code == 405


def test_a_client_need_not_know_of_v1(server: LiveServer) -> None:
    """The official client with the server's address alone; keys and counters are of one route."""
    client = OpenAI(base_url=server.url, api_key="none", max_retries=0)
    assert client.models.retrieve("tiny").id == "tiny"
    assert client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=1).id
    assert client.completions.create(model="tiny", prompt="a", max_tokens=1).id
    response = client.responses.create(model="tiny", input="a", max_output_tokens=1)
    assert client.responses.retrieve(response.id).id == response.id
    metrics = httpx.get(f"{server.url}/metrics", timeout=60).text
    assert 'path="/v1/responses/{response_id}"' in metrics
    assert 'path="/chat/completions"' not in metrics


def test_a_key_is_asked_for_by_every_name(tiny_llm: LongContextLLM) -> None:
    """An alias opens nothing that its route does not."""
    with serving(tiny_llm, model_id="tiny", api_key="k") as live:
        for path in ("/models", "/chat/completions", "/responses/x", "/props", "/slots"):
            assert httpx.get(f"{live.url}{path}", timeout=60).status_code == 401, path
            assert httpx.head(f"{live.url}{path}", timeout=60).status_code == 401, path
        assert httpx.get(f"{live.url}/v1/health", timeout=60).status_code == 200
        refused = httpx.post(f"{live.url}/messages", json={}, timeout=60)
    assert refused.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("prompt", ["Once upon a time", None])
def test_a_text_is_continued_in_llama_servers_shape(
    server: LiveServer, tiny_llm: LongContextLLM, prompt: str | None
) -> None:
    """Whole and streamed, of a text and of its ids: as in Python, and how it ended."""
    text = "Once upon a time"
    own = tiny_llm.generate(text if prompt else tiny_llm.tokenize(text), max_tokens=6)
    asked = {"prompt": prompt or tiny_llm.tokenize(text), "n_predict": 6, "cache_prompt": True}
    with server.http() as http:
        told = http.post("/completion", json=asked).json()
        lines = http.post("/completion", json={**asked, "stream": True}).text.split("\n\n")
    assert told["content"] == own.text
    assert (told["stop_type"], told["tokens_predicted"]) == ("limit", 6)
    timings = told["timings"]
    assert timings["cache_n"] + timings["prompt_n"] == told["tokens_evaluated"]
    assert told["tokens_evaluated"] == own.usage.prompt_tokens
    *pieces, last = (json.loads(line.removeprefix("data: ")) for line in lines if line[:1] == "d")
    assert "".join(piece["content"] for piece in pieces) == told["content"]
    assert (last["stop"], last["content"], last["stop_type"]) == (True, "", "limit")


def test_what_ended_a_text(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """A word of ``stop``; and what is more than one answer is refused."""
    text = tiny_llm.generate("Once upon a time", max_tokens=12).text
    word = text[len(text) // 2 :][:3]
    asked = {"prompt": "Once upon a time", "n_predict": 12, "stop": [word]}
    with server.http() as http:
        told = http.post("/completion", json=asked).json()
        assert (told["stop_type"], told["stopping_word"]) == ("word", word)
        media = {"prompt_string": "a", "multimodal_data": ["eA=="]}
        for more in ({"n": 2}, {"prompt": media}, {"echo": True}, {"post_sampling_probs": True}):
            assert http.post("/completion", json={**asked, **more}).status_code == 400


def test_several_texts_are_continued(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """Each as if alone, in a list and in one stream, by their places."""
    text = "Once upon a time"
    prompts = [text, tiny_llm.tokenize(text), {"prompt_string": "And then"}]
    asked = {"prompt": prompts, "n_predict": 5}
    with server.http() as http:
        told = http.post("/completion", json=asked).json()
        alone = [
            http.post("/completion", json={**asked, "prompt": prompt}).json() for prompt in prompts
        ]
        one = http.post("/completion", json={**asked, "prompt": [text]}).json()
        lines = http.post("/completion", json={**asked, "stream": True}).text.split("\n\n")
    contents = [each["content"] for each in told]
    assert contents == [each["content"] for each in alone]
    assert [each["index"] for each in told] == [0, 1, 2]
    assert [each["content"] for each in one] == contents[:1]
    streamed = ["", "", ""]
    for piece in (json.loads(line.removeprefix("data: ")) for line in lines if line[:1] == "d"):
        streamed[piece["index"]] += piece["content"]
    assert streamed == contents


def test_tokens_are_told_with_their_probabilities(
    server: LiveServer, tiny_llm: LongContextLLM
) -> None:
    """As in Python, whole and streamed; ids alone where they alone are asked for."""
    asked = {"prompt": "Once upon a time", "n_predict": 5}
    own = tiny_llm.generate("Once upon a time", max_tokens=5, top_logprobs=3).logprobs
    with server.http() as http:
        told = http.post("/completion", json={**asked, "n_probs": 3}).json()
        lines = http.post("/completion", json={**asked, "n_probs": 3, "stream": True}).text
        ids = http.post("/completion", json={**asked, "return_tokens": True})
    found = told["completion_probabilities"]
    assert [token["id"] for token in found] == [token.id for token in own]
    assert [token["logprob"] for token in found] == pytest.approx([t.logprob for t in own], abs=0.1)
    assert [len(token["top_logprobs"]) for token in found] == [3] * 5
    assert found[0]["top_logprobs"][0]["id"] == own[0].top[0].id
    assert [bytes(token["bytes"]) for token in found] == [token.data for token in own]
    assert told["tokens"] == []
    *pieces, _ = (json.loads(each[6:]) for each in lines.split("\n\n") if each[:1] == "d")
    streamed = [token for piece in pieces for token in piece["completion_probabilities"]]
    assert [token["id"] for token in streamed] == [token.id for token in own]
    assert [i for piece in pieces for i in piece["tokens"]] == [token.id for token in own]
    assert ids.json()["tokens"] == [token.id for token in own]
    assert "completion_probabilities" not in ids.json()
    assert "Longctx-Warning" not in ids.headers


ROUTES = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/completion": "prompt",
}


@pytest.mark.parametrize("route", ["/completion", "/v1/completions", "/v1/chat/completions"])
def test_timings_come_in_llama_servers_words(server: LiveServer, route: str) -> None:
    """The first token is the prefill's; nothing is divided by nothing."""
    text = "Once upon a time"
    asked = {"prompt": text} if "chat" not in route else {"messages": QUESTION}
    with server.http() as http:
        for n in (1, 4):
            timings = http.post(route, json={**asked, "max_tokens": n}).json()["timings"]
            assert timings["predicted_n"] == n
            assert all(value >= 0 for value in timings.values())
            rate = 1000 * (n - 1) / timings["predicted_ms"] if n > 1 else 0
            assert timings["predicted_per_second"] == pytest.approx(rate)
        streamed = http.post(route, json={**asked, "max_tokens": 4, "stream": True}).text
    assert '"predicted_per_second"' in streamed


@pytest.mark.parametrize("logprobs", [False, True])
@pytest.mark.parametrize("path", ROUTES)
def test_timings_come_with_each_piece_where_they_are_asked_for(
    server: LiveServer, path: str, logprobs: bool
) -> None:
    """They grow up to those of the end; likelihoods are told only where they were asked for."""
    wishes: dict[str, Any] = {"stream": True, "max_tokens": 6}
    if logprobs:
        name = "n_probs" if path == "/completion" else "logprobs"
        wishes[name] = True if "chat" in path else 1
    said: Any = QUESTION if ROUTES[path] == "messages" else "Once upon a time"

    def pieces(**more: Any) -> list[Any]:
        with server.http() as http:
            reply = http.post(path, json={ROUTES[path]: said, **wishes, **more})
        assert "Longctx-Warning" not in reply.headers
        lines = reply.text.splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    *told, last = pieces(timings_per_token=True, return_progress=True)
    read = [piece for piece in told if "prompt_progress" in piece]
    assert [piece["timings"]["predicted_n"] for piece in read] == [0] * len(read)
    assert read[0]["timings"]["prompt_n"] == 0 < read[-1]["timings"]["prompt_n"]
    told = [piece for piece in told if "prompt_progress" not in piece]
    timings = [piece["timings"] for piece in told if "timings" in piece]
    assert len(timings) >= 2
    written = [each["predicted_n"] for each in timings]
    assert written == sorted(written)
    assert written[-1] == last["timings"]["predicted_n"]
    for each in timings:
        assert each.keys() == last["timings"].keys()
        assert each["prompt_n"] == last["timings"]["prompt_n"]
        assert each["cache_n"] == last["timings"]["cache_n"]
    text = json.dumps(told)
    assert ('"logprob":' in text or '"token_logprobs":' in text) == logprobs
    assert [piece for piece in pieces()[:-1] if "timings" in piece] == []


def test_metrics_have_llama_servers_names(server: LiveServer) -> None:
    """Beside ours; they count what answers tell of themselves."""

    def counted() -> dict[str, float]:
        reply = http.get("/metrics")
        assert int(reply.headers["Process-Start-Time-Unix"]) > 0
        lines = (line.split(" ") for line in reply.text.splitlines() if line[:9] == "llamacpp:")
        return {name: float(value) for name, value in lines}

    names = {
        "prompt_n": "prompt_tokens_total",
        "cache_n": "prompt_tokens_cached_total",
        "predicted_n": "tokens_predicted_total",
    }
    with server.http() as http:
        before = counted()
        asked = {"prompt": "Count what is read. " * 5, "n_predict": 3}
        told = [http.post("/completion", json=asked).json()["timings"] for _ in range(2)]
        after = counted()
    for ours, name in names.items():
        grown = after[f"llamacpp:{name}"] - before[f"llamacpp:{name}"]
        assert grown == sum(each[ours] for each in told) > 0
    assert after["llamacpp:prompt_seconds_total"] > before["llamacpp:prompt_seconds_total"]


def test_a_bias_comes_in_pairs(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """As OpenAI's object has it; false is never."""
    asked = {"prompt": "A ship sails at noon", "n_predict": 6, "temperature": 0}
    with server.http() as http:
        plain = http.post("/completion", json={**asked, "return_tokens": True}).json()["tokens"]

        def biased(bias: Any) -> Any:
            body = {**asked, "return_tokens": True, "logit_bias": bias}
            return http.post("/completion", json=body).json()

        never = biased([[token, False] for token in plain])["tokens"]
        assert not set(never) & set(plain)
        assert never == biased({str(token): -100 for token in plain})["tokens"]
        for nonsense in ([1], [[1]], [[1, "x"]], [[None, 1]], [[1, True]]):
            assert biased(nonsense)["error"]["param"] == "logit_bias", nonsense


def test_what_does_not_fit_is_told_as_llama_server_tells_it(server: LiveServer) -> None:
    """Beside OpenAI's code."""
    with server.http() as http:
        reply = http.post("/v1/chat/completions", json={"messages": QUESTION * 500})
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "exceed_context_size_error")
    assert (error["code"], error["n_ctx"]) == ("context_length_exceeded", 2048)
    assert error["n_prompt_tokens"] == error["needed"] > 2048
    assert "exceeds the available context size" in error["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_progress_comes_in_chunks_where_it_is_asked_for(server: LiveServer, path: str) -> None:
    """From what was cached to the whole prompt; without the wish there are comments alone."""

    def asked(text: str, **wishes: Any) -> str:
        said: Any = [{"role": "user", "content": text}] if ROUTES[path] == "messages" else text
        with server.http() as http:
            return http.post(path, json={ROUTES[path]: said, "max_tokens": 2, **wishes}).text

    told_before = f"{path} tells of what it reads. " * 12
    asked(told_before)
    text = asked(told_before * 2, stream=True, return_progress=True)
    silent = asked(told_before * 3, stream=True)
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    told = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
    assert len(told) >= 2
    assert 0 < told[0]["cache"] == told[0]["processed"] < told[0]["total"]
    assert all(0 < each["cache"] < each["processed"] <= each["total"] for each in told[1:])
    assert told[-1]["processed"] == told[-1]["total"]
    timings = chunks[-1]["timings"]
    assert told[-1]["total"] - told[-1]["cache"] == timings["prompt_n"]
    assert ": prefill" not in text
    assert "prompt_progress" not in silent
    assert ": prefill" in silent
