"""The page that shows an agent's runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from longctx.agents import Agent, tool
from longctx.errors import RequestError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall


class Page(HTMLParser):
    """The tags that are open, the addresses that are named, and the texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes the one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts.append(" ".join(data.split()))


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_page_shows_each_run(tmp_path: Path):
    """Tokens, calls, results and compactions; what was said is text and no tag."""
    replies = [ToolCall(id="1", name="add", arguments={"a": 2, "b": 3}), "<b>5</b>"]
    agent = Agent(ScriptedChatModel([*replies, *["Yes."] * 30], target_ctx=900), tools=[add])
    agent.run("<script>alert('2 + 3')</script>")
    for i in range(20):
        agent.run(f"{i} " + "word " * 30)
        agent.prepare()
    path = tmp_path / "run.html"
    html = agent.report(path)
    assert path.read_text("utf-8") == html
    page = Page(html)
    assert page.open == []
    assert page.addresses == []
    said = "\n".join(page.texts)
    assert "1. <script>alert('2 + 3')</script>" in said
    assert "<b>5</b>" in said
    assert "called add({'a': 2, 'b': 3})" in said
    assert "add returned 1 characters: 5" in said
    assert "before it, archive_oldest: " in said
    tokens = re.findall(r"([\d,]+) reused, ([\d,]+) prefilled", said)
    assert len(tokens) == 21
    n_prefilled = sum(int(prefilled.replace(",", "")) for _, prefilled in tokens)
    assert f"and {n_prefilled:,} prefilled" in said


def test_a_recall_is_shown():
    """With its turn."""
    agent = Agent(ScriptedChatModel(["Yes."] * 30, target_ctx=400))
    for text in ["My badge is 4821.", *[f"{i} " + "word " * 30 for i in range(15)], "My badge?"]:
        agent.run(text)
    assert "recalled of turn 1, " in agent.report()


def test_an_agent_without_runs_has_a_page():
    """An empty one."""
    assert Page(Agent(ScriptedChatModel([])).report()).open == []


@pytest.mark.parametrize("name", ["run.txt", "nowhere/run.html"])
def test_a_file_that_is_no_page(tmp_path: Path, name: str):
    """Another name, a folder that is missing."""
    with pytest.raises(RequestError, match=r"run\."):
        Agent(ScriptedChatModel([])).report(tmp_path / name)
