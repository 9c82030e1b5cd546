"""The server in a thread of its own, on a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
from openai import OpenAI

from longctx import LongContextLLM
from longctx.server import Server, ServerSettings, TextEmbedder, TextReranker

PATIENCE_S = 120.0
"""What may take long on a busy machine; no test that passes waits so long."""
BRIEF: dict[str, Any] = {"max_tokens": 16, "sampling": {"temperature": 0}}
"""Noise has no end, and tests want the same answer twice."""


class LiveServer:
    """Where a running server is, and clients of it."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url
        self.api_key = api_key

    def openai(self, **options: Any) -> OpenAI:
        """The official client, which tries nothing twice."""
        key = self.api_key or "none"
        return OpenAI(
            base_url=f"{self.url}/v1",
            **{"api_key": key, "max_retries": 0, "timeout": PATIENCE_S, **options},
        )

    def http(self) -> httpx.Client:
        """A plain client, for what the official one cannot say."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)

    def wait_until_idle(self) -> None:
        """Return when no answer is under way or waiting; fail where that takes too long."""
        self.wait_for_jobs(0)

    def wait_for_jobs(self, n: int) -> None:
        """Return when so many answers are under way or waiting; fail where that takes too long."""
        ends = time.monotonic() + PATIENCE_S
        while (jobs := httpx.get(f"{self.url}/health", timeout=PATIENCE_S).json()["jobs"]) != n:
            assert time.monotonic() < ends, f"{jobs} answers are still under way, not {n}"
            time.sleep(0.02)

    def leave(self, path: str, asked: Any, when: Callable[[], bool]) -> None:
        """Ask, and hang up once something holds; fail where that takes too long."""

        async def ask() -> None:
            async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S) as client:
                answer = asyncio.ensure_future(client.post(path, json=asked))
                ends = time.monotonic() + PATIENCE_S
                while not when():
                    assert time.monotonic() < ends, "nobody is to hang up yet"
                    await asyncio.sleep(0.01)
                assert not answer.done()
                answer.cancel()
                await asyncio.wait((answer,))

        asyncio.run(ask())


@contextmanager
def serving(
    llm: object,
    embedder: TextEmbedder | None = None,
    reranker: TextReranker | None = None,
    **settings: Any,
) -> Iterator[LiveServer]:
    """Serve a model on a free port; on the way out stop as SIGTERM would."""
    chosen = ServerSettings(**{**BRIEF, **settings})
    server = Server(cast(LongContextLLM, llm), chosen, embedder, reranker, log_level="warning")
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        ends = time.monotonic() + PATIENCE_S
        while not server.started:
            assert time.monotonic() < ends, "the server did not start"
            assert thread.is_alive(), "the server stopped before it started"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield LiveServer(f"http://127.0.0.1:{port}", chosen.api_key)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server does not stop"
