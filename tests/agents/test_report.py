"""The page that shows an agent's runs."""

from __future__ import annotations

import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

from longctx.agents import Agent, tool
from longctx.agents.conversation import Conversation
from longctx.agents.policies import View
from longctx.errors import BackendError, RequestError
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


def rows(agent: Agent) -> list[str]:
    """What a page says above each run: its number, and the user's words."""
    texts = Page(agent.report()).texts
    return [text for text in texts if re.match(r"\d+\. ", text)]


def test_a_dry_run_is_no_turn():
    """Nor is anything prepared behind it."""
    threads: list[str] = []

    def noting(view: View) -> View:
        threads.append(threading.current_thread().name)
        return view

    call = ToolCall(id="1", name="add", arguments={"a": 2, "b": 3})
    agent = Agent(
        ScriptedChatModel([call, "One.", "Two."]), tools=[add], policy=noting, prepares=True
    )
    agent.run("What would you do?", dry_run=True)
    agent.run("And would you speak?", dry_run=True)
    join("prepare")
    assert "prepare" not in threads
    assert rows(agent) == []
    agent.run("Do it.")
    join("prepare")
    assert "prepare" in threads
    assert rows(agent) == ["1. Do it."]


def join(name: str) -> None:
    """Wait for threads of this name."""
    for thread in [t for t in threading.enumerate() if t.name == name]:
        thread.join(30)


def test_a_run_that_fails_is_shown():
    """With what was done so far, and why it has no answer; and one that nobody read on."""
    call = ToolCall(id="1", name="add", arguments={"a": 2, "b": 3})
    agent = Agent(ScriptedChatModel([call]), tools=[add])
    with pytest.raises(BackendError):
        agent.run("What is 2 + 3?")
    agent.llm = ScriptedChatModel(["It is 5.", "Never mind."])
    stream = agent.stream("Hello?")
    next(stream)
    stream.close()
    agent.run("Well?")
    said = "\n".join(Page(agent.report()).texts)
    assert rows(agent) == ["1. What is 2 + 3?", "1. Hello?", "1. Well?"]
    assert "add returned 1 characters: 5" in said
    assert "BackendError: the script holds 1 replies" in said
    assert "nobody read it to its end" in said


def test_the_user_s_words_are_shown_without_their_background():
    """Unless they are words of the user's own."""
    agent = Agent(ScriptedChatModel(["Yes."] * 3), background=lambda words: "It is Monday.")
    agent.run("What day is it?")
    agent.background = None
    agent.run("I wrote\n\n<background>\nthis.")
    assert rows(agent) == ["1. What day is it?", "2. I wrote <background> this."]
    assert "It is Monday." in agent.transcript[0].content


def test_another_conversation_has_a_page_of_its_own():
    """What was prepared for the one before is none of it, either."""
    agent = Agent(ScriptedChatModel(["Yes."] * 20, target_ctx=500))
    for i in range(11):
        agent.run(f"{i} " + "word " * 30)
    assert agent.prepare()
    agent.go_on(Conversation())
    assert rows(agent) == []
    agent.run("Hello.")
    assert rows(agent) == ["1. Hello."]
    assert "before it, " not in agent.report()


def test_an_agent_without_runs_has_a_page():
    """An empty one."""
    assert Page(Agent(ScriptedChatModel([])).report()).open == []


@pytest.mark.parametrize("name", ["run.txt", "nowhere/run.html"])
def test_a_file_that_is_no_page(tmp_path: Path, name: str):
    """Another name, a folder that is missing."""
    with pytest.raises(RequestError, match=r"run\."):
        Agent(ScriptedChatModel([])).report(tmp_path / name)
