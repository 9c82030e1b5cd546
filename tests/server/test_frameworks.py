"""Frameworks that people have, over the server: the examples of pydantic-ai and LangGraph.

Both are in no extra; without them these are skipped.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving

EXAMPLES = Path(__file__).parents[2] / "examples" / "frameworks"


@pytest.fixture(scope="module")
def server(demo_gguf: Path) -> Iterator[LiveServer]:
    """The demo model, which can say more than noise."""
    with (
        LongContextLLM(demo_gguf, 4096, reserve_output=64) as llm,
        serving(llm, max_tokens=64) as live,
    ):
        yield live


def test_pydantic_ai(server: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A conversation, whose second turn finds the first in the cache, and a typed answer."""
    pytest.importorskip("pydantic_ai")
    runpy.run_path(str(EXAMPLES / "pydantic_ai_agent.py"))["main"](f"{server.url}/v1")
    first, second, cached, city = capsys.readouterr().out.splitlines()
    assert "Paris" in first
    assert "Rome" in second
    assert int(cached.split()[0]) > 20
    assert city.startswith("name=")


def test_langgraph(server: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checkpoints in SQLite: the second run has the first one's messages, and their cache."""
    pytest.importorskip("langchain_openai")
    pytest.importorskip("langgraph.checkpoint.sqlite")
    main = runpy.run_path(str(EXAMPLES / "langgraph_checkpoints.py"))["main"]
    for messages in (2, 4):
        main(f"{server.url}/v1", str(tmp_path / "checkpoints.sqlite"))
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith(f"{messages} messages")
    assert int(last.split()[2]) > 20
