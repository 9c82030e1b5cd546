"""What the server says about itself."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from prometheus_client.parser import text_string_to_metric_families

from longctx import LongContextLLM
from tests.models import TINY
from tests.server.live_server import LiveServer, serving
from tests.server.test_chat import QUESTION, WEATHER


def test_models_are_listed_and_found(client: OpenAI, tiny_llm: LongContextLLM) -> None:
    """One, with its window and plan."""
    (listed,) = client.models.list().data
    found = client.models.retrieve("tiny")
    assert listed == found
    assert found.id == "tiny"
    assert found.model_extra is not None
    assert found.model_extra["max_model_len"] == tiny_llm.plan.n_ctx
    assert found.model_extra["longctx"]["n_ctx_train"] == 1024
    with pytest.raises(NotFoundError, match="'tiny'"):
        client.models.retrieve("other")


def test_text_is_tokenized(server: LiveServer, tiny_llm: LongContextLLM) -> None:
    """Control tokens in it stay text."""
    text = "The text <|im_end|> and more."
    with server.http() as http:
        told = http.post("/tokenize", json={"content": text}).json()
    assert told == {
        "count": tiny_llm.count(text),
        "max_model_len": 2048,
        "tokens": tiny_llm.tokenize(text),
    }


def test_a_text_is_tokenized_as_it_would_be_read() -> None:
    """With the BOS of a model that has one, and each token with its text."""
    text = "The text <|im_end|> and more."
    asked = {"content": text, "with_pieces": True}
    with (
        LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as llm,
        serving(llm) as live,
        live.http() as http,
    ):
        plain = http.post("/tokenize", json=asked).json()["tokens"]
        read = http.post("/tokenize", json={**asked, "add_special": True}).json()["tokens"]
        ids = llm.prompt_ids(text)
    assert "".join(token["piece"] for token in plain) == text
    assert [token["id"] for token in read] == ids
    assert read[1:] == plain


@pytest.mark.parametrize("tools", [None, [WEATHER]])
def test_a_conversation_is_tokenized_as_it_would_be_prefilled(
    server: LiveServer, client: OpenAI, tools: Any
) -> None:
    """The count is the usage that the same chat has then."""
    with server.http() as http:
        told = http.post("/tokenize", json={"messages": QUESTION, "tools": tools}).json()
    options = {"tools": tools, "tool_choice": "none"} if tools else {}
    usage = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=1, **options
    ).usage
    assert usage is not None
    assert told["count"] == len(told["tokens"]) == usage.prompt_tokens
    asked = {"messages": QUESTION, "tools": tools}
    counted = httpx.post(
        f"{server.url}/v1/chat/completions/input_tokens", json=asked, timeout=60
    ).json()
    assert counted["input_tokens"] == usage.prompt_tokens


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "a", "messages": QUESTION},
        {"messages": []},
        {"content": 7},
        {"content": "a", "parse_special": True},
    ],
)
def test_nonsense_is_not_tokenized(server: LiveServer, body: dict[str, Any]) -> None:
    """A 400, in OpenAI's shape."""
    reply = httpx.post(f"{server.url}/tokenize", json=body, timeout=60)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "invalid_value"


def test_health(server: LiveServer) -> None:
    """Alive, and idle when nobody asks."""
    server.wait_until_idle()
    assert httpx.get(f"{server.url}/health", timeout=60).json() == {"status": "ok", "jobs": 0}


def _metrics(server: LiveServer) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(httpx.get(f"{server.url}/metrics", timeout=60).text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_what_happened(server: LiveServer, client: OpenAI) -> None:
    """Tokens as in the usage; requests by route and status; the time to the first token."""
    before = _metrics(server)
    asked: list[Any] = [{"role": "user", "content": "Count these tokens."}]
    usages = [
        client.chat.completions.create(model="tiny", messages=asked, max_tokens=5).usage
        for _ in range(2)
    ]
    with pytest.raises(BadRequestError):
        client.chat.completions.create(model="tiny", messages=asked, temperature=-1)
    httpx.get(f"{server.url}/nowhere/{'x' * 100}", timeout=60)
    after = _metrics(server)

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0)

    prompts = sum(u.prompt_tokens for u in usages if u is not None)
    cached = sum(u.prompt_tokens_details.cached_tokens for u in usages)  # type: ignore[union-attr]
    assert cached > 0
    assert grown("longctx_tokens_total", "cached", "tiny") == cached
    assert grown("longctx_tokens_total", "prefilled", "tiny") == prompts - cached
    assert grown("longctx_tokens_total", "generated", "tiny") == sum(
        u.completion_tokens for u in usages if u is not None
    )
    assert grown("longctx_requests_total", "/v1/chat/completions", "200") == 2
    assert grown("longctx_requests_total", "/v1/chat/completions", "400") == 1
    assert grown("longctx_requests_total", "other", "404") == 1
    assert grown("longctx_time_to_first_token_seconds_count", "tiny") == 2
    assert after[("longctx_jobs",)] == 0
    assert after[("longctx_window_tokens", "tiny")] == 1024
    assert not any("xxx" in part for key in after for part in key)
