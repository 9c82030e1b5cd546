"""Frameworks that people have, over the server: the examples of pydantic-ai and LangGraph.

Both are in no extra; without them these are skipped.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving
from tests.support.thorough import thorough

pytestmark = thorough

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
    """A conversation, whose second turn finds the first in the cache, and typed answers, one of
    them beside a tool."""
    pytest.importorskip("pydantic_ai")
    runpy.run_path(str(EXAMPLES / "pydantic_ai_agent.py"))["main"](f"{server.url}/v1")
    first, second, cached, *cities = capsys.readouterr().out.splitlines()
    assert "Paris" in first
    assert "Rome" in second
    assert int(cached.split()[0]) > 20
    assert [city[:5] for city in cities] == ["name=", "name="]


def test_pydantic_ai_whose_model_only_calls(server: LiveServer) -> None:
    """With a tool and an answer that is a call, too, a small model may call for ever: that ends at
    pydantic-ai's limit, and each call is a valid one."""
    pytest.importorskip("pydantic_ai")
    from pydantic_ai import Agent, UsageLimitExceeded, UsageLimits, capture_run_messages
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    example = runpy.run_path(str(EXAMPLES / "pydantic_ai_agent.py"))
    provider = OpenAIProvider(base_url=f"{server.url}/v1", api_key="none")
    model = OpenAIChatModel("longctx", provider=provider)
    agent = Agent(model, output_type=example["City"], tools=[example["look_up"]])
    with capture_run_messages() as messages, suppress(UsageLimitExceeded):
        agent.run_sync("Look up Bremen.", usage_limits=UsageLimits(request_limit=3))
    parts = [part for message in messages for part in message.parts]
    assert any(part.part_kind == "tool-call" for part in parts)
    assert not any(part.part_kind == "retry-prompt" for part in parts)


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
