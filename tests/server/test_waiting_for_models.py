"""Requests of all kinds that wait until a model is open: they leave, are too many, are told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from longctx import LongContextLLM
from longctx.server import ModelPool, ModelSource, event_stream, service
from longctx.server.model_source import Prepared
from tests.conftest import TinyGguf
from tests.server.live_server import LiveServer, serving

HI: Any = [{"role": "user", "content": "Hello there."}]
OPENING: dict[str, Any] = {"target_ctx": 1024, "reserve_output": 16, "n_threads": 1}
LOOKUPS: dict[str, Any] = {
    "/tokenize": {"messages": HI, "with_pieces": True},
    "/detokenize": {"tokens": [1, 2]},
    "/apply-template": {"messages": HI},
    "/props": None,
    "/slots": None,
    "/models/load": {"model": "slow"},
    "/v1/chat/completions/input_tokens": {"messages": HI},
    "/v1/responses/input_tokens": {"input": "Hi."},
    "/v1/messages/count_tokens": {"messages": HI},
    "/v1/completions": {"prompt": [1, 2], "echo": True, "max_tokens": 1},
    "/page/files?name=a.txt": b"Hello.",
}
"""What asks a model, and is no answer; ``None`` is a GET."""


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def _request(path: str, at: str = "") -> dict[str, Any]:
    body = LOOKUPS[path]
    method = "GET" if body is None else "POST"
    return {"method": method, "url": at + path} | (
        {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
    )


class _Slow:
    """A model that is there when it is told to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.go = threading.Event()
        self.asked = threading.Event()
        self.n_opened = 0

    def source(self) -> ModelSource:
        """It takes long to open."""

        def opened() -> LongContextLLM:
            self._wait()
            return self._open()

        return ModelSource("slow", lambda _: Prepared(1, opened))

    def download(self) -> ModelSource:
        """It takes long to come."""

        def prepare(_: int) -> Prepared:
            self._wait()
            return Prepared(1, self._open)

        return ModelSource("slow", prepare)

    def _wait(self) -> None:
        self.asked.set()
        assert self.go.wait(120)

    def _open(self) -> LongContextLLM:
        self.n_opened += 1
        return LongContextLLM(self._path, **OPENING)


def test_a_stream_says_that_its_model_is_being_opened(
    tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In comments, so that nobody hangs up; then comes the answer."""
    monkeypatch.setattr(service, "OPENED_WITHIN_S", 0.05)
    monkeypatch.setattr(event_stream, "ALIVE_S", 0.05)
    slow = _Slow(tiny_gguf())
    with ModelPool([slow.source()]) as pool, serving(pool) as live, live.http() as http:
        asked = {"messages": HI, "stream": True, "max_tokens": 4}
        with http.stream("POST", "/v1/chat/completions", json=asked) as reply:
            lines = (line for line in reply.iter_lines() if line)
            assert next(lines) == next(lines) == ": the model is being opened"
            slow.go.set()
            assert list(lines)[-1] == "data: [DONE]"


def test_who_leaves_while_a_model_is_opened(tiny_gguf: TinyGguf) -> None:
    """Its place is free, and the model there for others."""
    slow = _Slow(tiny_gguf())
    with ModelPool([slow.source()]) as pool, serving(pool) as live:
        live.leave("/v1/chat/completions", {"messages": HI}, slow.asked.is_set)
        live.wait_until_idle()
        slow.go.set()
        asked = {"messages": HI, "max_tokens": 4}
        assert httpx.post(f"{live.url}/v1/chat/completions", json=asked, timeout=60).json()["id"]


def test_who_hangs_up_is_not_waited_for(tiny_gguf: TinyGguf) -> None:
    """By whatever they ask: when all are gone, the model that has come is not even opened."""
    slow = _Slow(tiny_gguf())
    with ModelPool([slow.download()]) as pool, serving(pool) as live:

        async def leave() -> None:
            async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
                asked = [
                    asyncio.ensure_future(client.request(**_request(path))) for path in LOOKUPS
                ]
                await asyncio.to_thread(_until, lambda: pool.n_waiting == len(LOOKUPS))
                for each in asked:
                    each.cancel()
                await asyncio.gather(*asked, return_exceptions=True)

        try:
            asyncio.run(leave())
            _until(lambda: pool.n_waiting == 0)
        finally:
            slow.go.set()
        _until(lambda: pool.entry("slow").state == "unloaded")
        assert slow.n_opened == 0
        for path in LOOKUPS:  # who stays is answered
            assert httpx.request(**_request(path, live.url), timeout=60).status_code == 200
        assert slow.n_opened == 1


def test_how_many_wait_is_bounded(tiny_gguf: TinyGguf) -> None:
    """One more than may wait: 429 with Retry-After. A model that is open is asked all the same."""
    slow, path = _Slow(tiny_gguf()), str(tiny_gguf(seed=7))
    sources = [slow.source(), ModelSource.of_file("open", path, **OPENING)]
    with (
        ModelPool(sources) as pool,
        serving(pool, max_waiting=1) as live,
        ThreadPoolExecutor(2) as threads,
    ):
        try:
            params = {"model": "open"}
            assert httpx.get(f"{live.url}/props", params=params, timeout=60).status_code == 200
            waiting = [
                threads.submit(httpx.request, **_request(path, live.url), timeout=60)
                for path in ("/tokenize", "/slots")
            ]
            _until(lambda: pool.n_waiting == 2)
            for path in LOOKUPS:
                refused = httpx.request(**_request(path, live.url), timeout=60)
                assert refused.status_code == 429, path
                assert int(refused.headers["retry-after"]) >= 1
            assert httpx.get(f"{live.url}/props", params=params, timeout=60).status_code == 200
        finally:
            slow.go.set()
        assert [each.result(60).status_code for each in waiting] == [200, 200]


def test_files_are_read_whatever_is_opened(tiny_gguf: TinyGguf) -> None:
    """As many as are read at once wait for their model; another's file is read, and one that
    cannot be read is refused, without a model."""
    slow, path = _Slow(tiny_gguf()), str(tiny_gguf(seed=7))
    sources = [slow.source(), ModelSource.of_file("other", path, **OPENING)]
    with (
        ModelPool(sources) as pool,
        serving(pool) as live,
        ThreadPoolExecutor(3) as threads,
    ):

        def give(model: str, data: bytes = b"Hello.") -> httpx.Response:
            params = {"model": model, "name": "a.txt"}
            return httpx.post(f"{live.url}/page/files", params=params, content=data, timeout=60)

        assert give("other", b"PK\x03\x04" + bytes(50)).status_code == 400
        assert pool.entry("other").state == "unloaded"
        try:
            waiting = [threads.submit(give, "slow") for _ in range(3)]
            _until(lambda: pool.n_waiting == 3)
            assert give("slow", b"").status_code == 400
        finally:
            slow.go.set()
        assert [each.result(60).json()["n_pages"] for each in waiting] == [None] * 3


def test_who_waits_when_the_server_stops_is_told(
    tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, as a stream that has begun, or of a count: a 503 in the protocol's words, when the
    grace is over, however long the model takes."""
    monkeypatch.setattr(service, "OPENED_WITHIN_S", 0.05)
    slow, begun = _Slow(tiny_gguf()), threading.Event()

    def whole(live: LiveServer) -> httpx.Response:
        asked = {"messages": HI, "max_tokens": 4}
        return httpx.post(f"{live.url}/v1/messages", json=asked, timeout=60)

    def streamed(live: LiveServer) -> str:
        asked = {"messages": HI, "stream": True}
        url = f"{live.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=asked, timeout=60) as reply:
            begun.set()
            return reply.read().decode()

    def counted(live: LiveServer) -> httpx.Response:
        return httpx.request(**_request("/tokenize", live.url), timeout=60)

    with ThreadPoolExecutor(4) as threads, ModelPool([slow.source()]) as pool:
        with serving(pool, grace_s=0) as live:
            answers = [threads.submit(ask, live) for ask in (whole, streamed, counted)]
            assert begun.wait(60)
            _until(lambda: pool.n_waiting == 3)

            def open_when_all_are_told() -> list[Any]:
                try:
                    return [each.result(60) for each in answers]
                finally:
                    slow.go.set()

            told = threads.submit(open_when_all_are_told)
        answer, stream, count = told.result(120)
    assert (answer.status_code, count.status_code) == (503, 503)
    assert answer.json()["error"]["type"]
    assert count.json()["error"]["code"] == "shutting_down"
    assert "shutting_down" in stream.splitlines()[-2]
