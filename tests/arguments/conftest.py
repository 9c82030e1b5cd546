"""The small model with its own BOS, here and behind a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longctx import LongContextLLM
from longctx.remote import RemoteLLM
from tests.models import TINY
from tests.server.live_server import LiveServer, serving


@pytest.fixture(scope="package")
def llm() -> Iterator[LongContextLLM]:
    """Here."""
    with LongContextLLM(TINY, 512, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="package")
def server(llm: LongContextLLM) -> Iterator[LiveServer]:
    """It, served."""
    with serving(llm, model_id="tiny") as live:
        yield live


@pytest.fixture(scope="package")
def remote(server: LiveServer) -> Iterator[RemoteLLM]:
    """A client of it."""
    with RemoteLLM(server.url, reserve_output=16) as llm:
        yield llm
