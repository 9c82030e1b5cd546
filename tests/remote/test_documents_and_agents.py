"""DocumentQA and Agent on the demo model behind our server, and the docs of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, tool
from longctx.documents import DocumentQA
from longctx.errors import RequestError
from longctx.remote import RemoteLLM, connect
from tests.server.live_server import LiveServer, serving
from tests.support.thorough import thorough

CONTRACT = """The seller is Nordwind AG of Bremen. The buyer is Kestrel Ltd of Leeds.
Until delivery the seller bears the risk of loss. After delivery the buyer bears it.
"""
DOCS = Path(__file__).parents[2] / "docs" / "remote.md"


@tool
def weather(city: str, days: int = 1) -> str:
    """Say what the weather will be like in a city."""
    return f"It is 14 degrees and raining in {city}, for {days} days."


@pytest.fixture(scope="module")
def here() -> Iterator[LongContextLLM]:
    """The demo model on a small window."""
    with LongContextLLM(target_ctx=2048, reserve_output=64) as model:
        yield model


@pytest.fixture(scope="module")
def live(here: LongContextLLM) -> Iterator[LiveServer]:
    """It, served."""
    with serving(here) as live:
        yield live


@pytest.fixture(scope="module")
def there(live: LiveServer) -> Iterator[RemoteLLM]:
    """A client of it."""
    with connect(live.url, reserve_output=64) as llm:
        yield llm


def ask(llm: Any, strategy: str) -> Any:
    """One question about a contract, and about more text than the window holds."""
    qa = DocumentQA(llm, strategy=strategy, budget_tokens=700)
    qa.add(CONTRACT, doc_id="contract")
    if strategy != "whole":
        qa.add("The weather in Leeds was fine that year, and nobody fell ill.\n\n" * 60, doc_id="x")
    return qa.ask("Who bears the risk of loss until delivery?", max_tokens=24)


@thorough
@pytest.mark.parametrize("strategy", ["whole", "retrieve"])
def test_documents_run_unchanged(here: LongContextLLM, there: RemoteLLM, strategy: str) -> None:
    """The same answer, citations, counts and report as with the model in this process."""
    ask(here, strategy)  # from here on all find the same prompt in the cache
    own, remote = ask(here, strategy), ask(there, strategy)
    assert "seller" in remote.text
    assert (remote.text, remote.citations) == (own.text, own.citations)
    assert remote.report == own.report
    assert remote.usage == own.usage


def test_what_a_server_cannot_do_is_refused_at_once(there: RemoteLLM) -> None:
    """Cached passages are placed in this process, not over HTTP."""
    with pytest.raises(RequestError, match="cannot place cached documents"):
        DocumentQA(there, compose=16)


@thorough
def test_an_agent_runs_unchanged(here: LongContextLLM, there: RemoteLLM, tmp_path: Path) -> None:
    """The same call by grammar, the same answer; saved, it goes on with the model here."""
    results = []
    for llm in (here, there):
        agent = Agent(llm, tools=[weather], system="You are a helpful assistant.", max_steps=4)
        results.append(
            agent.run("What is the weather in Bremen?", tool_choice="required", max_tokens=64)
        )
    own, remote = results
    assert [step.tool_calls and step.tool_calls[0].arguments for step in remote.steps] == [
        step.tool_calls and step.tool_calls[0].arguments for step in own.steps
    ]
    assert "raining in Bremen" in str(remote.events)
    assert remote.text == own.text
    agent.save(tmp_path / "agent.json")
    loaded = Agent.load(tmp_path / "agent.json", here, tools=[weather])
    assert loaded.transcript == agent.transcript


@thorough
def test_the_docs_run(live: LiveServer) -> None:
    """Each Python block of docs/remote.md, against this server."""
    blocks = re.findall(r"```py\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(block.replace("http://localhost:8000/v1", f"{live.url}/v1"), {})
