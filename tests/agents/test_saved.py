"""A conversation outlives its process, in a file that a person can read."""

import json
import os

import pytest

from longctx.agents import Agent, tool
from longctx.errors import LongCtxError, SnapshotMismatchError, ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def agent() -> Agent:
    """An agent with one run behind it."""
    replies = [ToolCall(id="1", name="add", arguments={"a": 2, "b": 3}), "It is 5, señor."]
    agent = Agent(ScriptedChatModel(replies), tools=[add], system="Calculate.")
    agent.run("2 + 3?")
    return agent


def test_round_trip(agent, tmp_path):
    """The transcript comes back whole, and the conversation goes on from it."""
    path = tmp_path / "agent.json"
    agent.save(path)
    llm = ScriptedChatModel(["Bye."])
    loaded = Agent.load(path, llm, tools=[add])
    assert loaded.transcript == agent.transcript
    loaded.run("Bye")
    assert [m.role for m in llm.calls[0].messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


def test_the_file_is_readable_and_versioned(agent, tmp_path):
    """Format, version, tool names and messages stand in plain JSON."""
    path = tmp_path / "agent.json"
    agent.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["format"], content["version"]) == ("longctx-agent", 1)
    assert content["tools"] == ["add"]
    assert "señor" in path.read_text(encoding="utf-8")


def test_saving_replaces_the_file_whole(agent, tmp_path, monkeypatch):
    """A failure leaves the old file and nothing beside it."""
    path = tmp_path / "agent.json"
    path.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LongCtxError, match="disk full"):
        agent.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(agent, tmp_path):
    """Saving there, and loading from there, is a typed error."""
    with pytest.raises(LongCtxError):
        agent.save(tmp_path / "nowhere" / "agent.json")
    with pytest.raises(LongCtxError):
        Agent.load(tmp_path / "nowhere.json", ScriptedChatModel([]))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"format": "longctx-agent", "version": 2, "tools": [], "messages": []}',
        '{"format": "other", "version": 1, "tools": [], "messages": []}',
        '{"format": "longctx-agent", "version": 1, "tools": [], "messages": [{"role": "boss"}]}',
        '{"format": "longctx-agent", "version": 1, "tools": [], "messages": [], "more": 1}',
    ],
)
def test_other_files_are_refused(tmp_path, content):
    """A damaged file, another format and a later version are no agent."""
    path = tmp_path / "agent.json"
    path.write_text(content)
    with pytest.raises(SnapshotMismatchError, match="version 1"):
        Agent.load(path, ScriptedChatModel([]))


def test_a_tool_that_is_missing_is_named(agent, tmp_path):
    """An agent does not silently lose what it could do."""
    path = tmp_path / "agent.json"
    agent.save(path)
    with pytest.raises(ToolError, match="add"):
        Agent.load(path, ScriptedChatModel([]))


def test_turns_are_taken_back() -> None:
    """All of the last one that was answered, its pin too; before the first there is nothing."""
    agent = Agent(ScriptedChatModel(["One.", "Two."]), system="Count.")
    agent.run("1")
    before = agent.conversation
    agent.run("2", pin=True)
    assert agent.conversation.pinned
    assert agent.conversation.without_last_turn() == before
    first = before.without_last_turn()
    assert [message.role for message in first.transcript] == ["system"]
    assert first.without_last_turn() == first
