"""Our own server on a socket, and clients of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from longctx import LongContextLLM
from longctx.remote import RemoteLLM
from tests.conftest import TinyGguf
from tests.remote.pretended import Routes
from tests.server.live_server import LiveServer, serving

CLIENT = httpx.Client


@pytest.fixture(scope="package")
def tiny_llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise with a window of 2,048 tokens that was trained for 1,024."""
    with LongContextLLM(tiny_gguf(), 2048, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="package")
def server(tiny_llm: LongContextLLM) -> Iterator[LiveServer]:
    """It, served under the name ``tiny``."""
    with serving(tiny_llm, model_id="tiny") as live:
        yield live


@pytest.fixture
def remote(server: LiveServer) -> Iterator[RemoteLLM]:
    """A client of it."""
    with RemoteLLM(server.url, reserve_output=16) as llm:
        yield llm


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RemoteLLM]:
    """``served(routes, **options)``: a client of a server that answers so, by path."""

    def make(routes: Routes, **options: Any) -> RemoteLLM:
        def answer(request: httpx.Request) -> httpx.Response:
            route = routes.get(request.url.path, httpx.Response(404, json={"detail": "Not Found"}))
            found = route(json.loads(request.content)) if callable(route) else route
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(httpx, "Client", lambda **o: CLIENT(transport=transport, **o))
        return RemoteLLM("http://cluster:8000/v1", **options)

    return make
