"""Who has the last event of an answer finds it over: nothing of it is tidied up behind that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from longctx import LongContextLLM
from longctx.server import ModelPool, ModelSource, ServerSettings
from longctx.server.app import create_app
from tests.conftest import TinyGguf
from tests.server.breaking import BreakingLLM
from tests.server.live_server import BRIEF

Then = Callable[[httpx.AsyncClient, str], Awaitable[None]]


def _streamed(app: FastAPI, path: str, body: dict[str, Any], last: str, then: Then) -> None:
    """Ask, and do something between the answer's last event and what follows it."""
    content = json.dumps({**body, "stream": True}).encode()
    asked: list[Any] = [{"type": "http.request", "body": content}]
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": None,
    }  # fmt: skip
    told: list[str] = []

    async def ask() -> None:
        is_over = asyncio.Event()

        async def receive() -> Any:
            if not asked:
                await is_over.wait()
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            text = message.get("body", b"").decode()
            if last in text and last not in "".join(told):
                told.append(text)
                await then(client, text)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_over.set()

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await app(scope, receive, send)

    asyncio.run(ask())
    assert told


@pytest.mark.parametrize("breaks", [False, True])
def test_a_response_is_kept_or_is_not(tiny_llm: LongContextLLM, breaks: bool) -> None:
    """It is no more under way; one that failed is not there."""
    llm: Any = BreakingLLM(tiny_llm) if breaks else tiny_llm
    app = create_app(llm, ServerSettings(**BRIEF))

    async def then(client: httpx.AsyncClient, text: str) -> None:
        response = json.loads(text.partition("data: ")[2])["response"]
        found = await client.get(f"/v1/responses/{response['id']}")
        assert found.status_code == (404 if breaks else 200)
        assert breaks or found.json() == response
        assert (await client.get("/health")).json()["jobs"] == 0

    asked = {"input": "Hello.", "max_output_tokens": 2}
    last = "event: response.failed" if breaks else "event: response.incomplete"
    _streamed(app, "/v1/responses", asked, last, then)


@pytest.mark.parametrize("n", [1, 2])
def test_the_model_can_be_closed(tiny_gguf: TinyGguf, n: int) -> None:
    """Nobody uses it any more."""
    opening = {"target_ctx": 1024, "reserve_output": 16, "n_threads": 1}
    with ModelPool([ModelSource.of_file("one", str(tiny_gguf()), **opening)]) as pool:
        app = create_app(pool, ServerSettings(**BRIEF))

        async def then(client: httpx.AsyncClient, _text: str) -> None:
            reply = await client.post("/models/unload", json={"model": "one"})
            assert reply.json() == {"success": True}

        asked = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2, "n": n}
        _streamed(app, "/v1/chat/completions", asked, "data: [DONE]", then)
        assert pool.entry("one").state == "unloaded"
