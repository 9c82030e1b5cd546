"""A tiny model, served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from longctx import LongContextLLM
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
    with serving(tiny_llm, model_id="tiny", max_body_bytes=200_000) as live:
        yield live


@pytest.fixture(scope="package")
def client(server: LiveServer) -> OpenAI:
    """The official client."""
    return server.openai()
