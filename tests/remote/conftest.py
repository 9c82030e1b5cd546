"""Our own server on a socket, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longctx import LongContextLLM
from longctx.remote import RemoteLLM
from tests.conftest import TinyGguf
from tests.server.live_server import LiveServer, serving


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
