"""Tools that hang, raise or return rubbish; runs that stop in the middle; many threads."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from longctx.agents import Agent, ConversationStore, Done, TextDelta, ToolResult, tool
from longctx.errors import (
    BackendError,
    LongCtxError,
    RequestError,
    SnapshotMismatchError,
    ToolError,
)
from longctx.testing import ScriptedChatModel
from longctx.types import Completion, Message, Timings, ToolCall, Usage, WindowReport

RELEASE = threading.Event()


@pytest.fixture(autouse=True)
def _hanging() -> Iterator[None]:
    """What hangs does so until the test is over, and no longer."""
    RELEASE.clear()
    yield
    RELEASE.set()


@tool(timeout_s=0.05)
def hang() -> str:
    """Hang."""
    RELEASE.wait(30)
    return "late"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def binary() -> bytes:
    """Return what is no text."""
    return b"\xff\xfe\x00"


@tool
def shout() -> str:
    """Raise with a message that no file can hold."""
    raise ValueError("lone \ud800")


@tool
def late() -> str:
    """Raise a TimeoutError of its own."""
    raise TimeoutError("the server did not answer")


@tool(timeout_s=0.05)
async def sleep_long() -> str:
    """Sleep."""
    await asyncio.sleep(30)
    return "late"


def results(agent: Agent, text: str = "go") -> list[ToolResult]:
    """What the tools returned in one run."""
    return [event for event in agent.run(text).events if isinstance(event, ToolResult)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hang", "hang did not return within 0.05 s"),
        ("sleep_long", "sleep_long did not return within 0.05 s"),
        ("binary", "put in words"),
        ("shout", "ValueError: lone ?"),
        ("late", "TimeoutError: the server did not answer"),
    ],
)
def test_a_failing_tool_is_told_to_the_model(name, said):
    """The run goes on, and the conversation can be saved."""
    tools = [hang, binary, shout, late, sleep_long]
    agent = Agent(ScriptedChatModel([ToolCall(id="1", name=name), "Sorry."]), tools=tools)
    (result,) = results(agent)
    assert result.is_error
    assert said in result.text
    assert agent.transcript[-1].content == "Sorry."


def test_calls_of_one_step_run_side_by_side():
    """Each waits for the other, so that one after the other would never end."""
    barrier = threading.Barrier(2, timeout=30)

    @tool
    def meet(name: str) -> str:
        """Meet the other."""
        barrier.wait()
        return name

    calls = tuple(ToolCall(id="same", name="meet", arguments={"name": n}) for n in "ab")
    both = Completion(
        text="",
        message=Message(role="assistant", tool_calls=calls),
        finish_reason="tool_calls",
        usage=Usage(),
        timings=Timings(),
        window=WindowReport(),
    )
    agent = Agent(ScriptedChatModel([both, "Both."]), tools=[meet])
    assert [(r.call_id, r.text) for r in results(agent)] == [("call_1", "a"), ("call_2", "b")]


def test_without_a_limit_a_tool_runs_in_the_callers_thread():
    """For what is bound to a thread."""

    @tool
    def where() -> str:
        """Say which thread this is."""
        return threading.current_thread().name

    replies = [ToolCall(id="1", name="where"), "There."]
    (outside,) = results(Agent(ScriptedChatModel(replies), tools=[where]))
    (inside,) = results(Agent(ScriptedChatModel(replies), tools=[where], tool_timeout_s=None))
    assert outside.text == "tool where"
    assert inside.text == threading.current_thread().name


@pytest.mark.parametrize("timeout_s", [0, -1, "soon"])
def test_a_limit_that_is_none(timeout_s):
    """It is refused when the tool, or the agent, is made."""
    with pytest.raises(RequestError):
        tool(timeout_s=timeout_s)(add)
    with pytest.raises(RequestError):
        Agent(ScriptedChatModel([]), tool_timeout_s=timeout_s)


class Sum(BaseModel):
    """An answer."""

    value: int


def test_the_final_answer_satisfies_a_schema():
    """Of a server that does not hold it to tools and a schema at once, the last one counts."""
    replies = [ToolCall(id="1", name="add", arguments={"a": 2, "b": 3}), "Five!", '{"value": 5}']
    llm = ScriptedChatModel(replies)
    agent = Agent(llm, tools=[add])
    result = agent.run("2 + 3?", response_schema=Sum)
    assert (result.text, result.value) == ('{"value": 5}', {"value": 5})
    asked = [(said.tool_choice, said.options["response_schema"]) for said in llm.calls]
    assert asked == [("auto", Sum), ("auto", Sum), ("none", Sum)]
    assert [m.role for m in agent.transcript] == ["user", "assistant", "tool", "assistant"]
    assert "Five!" not in str(result.events)


def test_an_answer_by_the_schema_is_asked_for_once():
    """A model that holds it to both needs no second answer, and it streams."""
    llm = ScriptedChatModel([ToolCall(id="1", name="add", arguments={"a": 2}), '{"value": 5}'])
    result = Agent(llm, tools=[add]).run("2 + 3?", response_schema=Sum)
    assert result.value == {"value": 5}
    assert len(llm.calls) == 2
    assert "".join(e.text for e in result.events if isinstance(e, TextDelta)) == '{"value": 5}'


def test_a_schema_without_tools_is_asked_for_at_once():
    """There is nothing to draft."""
    llm = ScriptedChatModel(['{"value": 5}'])
    assert Agent(llm).run("2 + 3?", response_schema=Sum).value == {"value": 5}
    assert len(llm.calls) == 1


# Interruption


def test_a_run_that_failed_is_resumed():
    """Its last complete step stands; the conversation is as before until then."""
    call = ToolCall(id="1", name="add", arguments={"a": 2, "b": 3})
    agent = Agent(ScriptedChatModel([call]), tools=[add])
    with pytest.raises(BackendError):  # the script is at its end
        agent.run("2 + 3?")
    assert agent.transcript == ()
    assert [m.role for m in agent.unfinished] == ["user", "assistant", "tool"]
    agent.llm = ScriptedChatModel(["It is 5."])
    assert agent.resume().text == "It is 5."
    assert [m.role for m in agent.transcript] == ["user", "assistant", "tool", "assistant"]
    with pytest.raises(RequestError, match="no unfinished run"):
        agent.resume()


def test_a_run_that_failed_is_forgotten_by_the_next():
    """Saying something else begins from the conversation as it was."""
    agent = Agent(ScriptedChatModel([]))
    with pytest.raises(BackendError):
        agent.run("one")
    agent.llm = ScriptedChatModel(["Two."])
    agent.run("two")
    assert [m.content for m in agent.transcript] == ["two", "Two."]


CHILD = """
import os, sys
from longctx.agents import ConversationStore, tool
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall

@tool
def crash(name: str) -> str:
    "Crash."
    os._exit(9)

llm = ScriptedChatModel(["Hello.", ToolCall(id="x", name="crash", arguments={"name": "a"})])
store = ConversationStore(sys.argv[1])
agent = store.open("anna", llm, tools=[crash], system="Be brief.")
agent.run("Hi")
agent.run("Crash now.")
"""


@tool
def crash(name: str) -> str:
    """Do not crash."""
    return name


def test_a_process_killed_in_a_turn_is_resumed(tmp_path: Path):
    """Each step was on disk; the model is told that nobody knows what the call did."""
    path = tmp_path / "chats.sqlite"
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], timeout=120, check=False)
    assert done.returncode == 9
    llm = ScriptedChatModel(["The call was lost."])
    with ConversationStore(path) as store:
        (info,) = store.list()
        assert (info.name, info.messages, info.unfinished) == ("anna", 5, True)
        agent = store.open("anna", llm, tools=[crash], system="Another one.")
        assert [m.content for m in agent.transcript] == ["Be brief.", "Hi", "Hello."]
        assert [m.role for m in agent.unfinished] == ["user", "assistant"]
        assert agent.resume().text == "The call was lost."
        assert llm.calls[0].messages[-1].tool_call_id == "call_1"
        assert "not known what it did" in llm.calls[0].messages[-1].content
        again = store.open("anna", ScriptedChatModel([]), tools=[crash])
        assert again.conversation == agent.conversation
        assert not store.list()[0].unfinished


# Many conversations


def test_many_conversations_in_one_file(tmp_path: Path):
    """Each goes on by itself, compaction state and pinned turns included."""
    path = tmp_path / "chats.sqlite"
    with ConversationStore(path) as store:
        for name in ("anna", "otto"):
            llm = ScriptedChatModel([f"Hello {name}. " + "word " * 40] * 9, target_ctx=400)
            agent = store.open(name, llm, system=f"For {name}.")
            for i in range(9):
                agent.run(f"{name} {i}", pin=i == 0)
    with ConversationStore(path) as store:
        assert {info.name: info.messages for info in store.list()} == {"anna": 19, "otto": 19}
        again = store.open("otto", ScriptedChatModel(["Yes."], target_ctx=400))
        assert again.conversation == agent.conversation
        assert again.context.compacted
        again.run("and now")
        assert "otto 0" in [m.content for m in again.llm.calls[0].messages]
        store.delete("otto")
        assert [info.name for info in store.list()] == ["anna"]
        assert store.open("otto", ScriptedChatModel([])).transcript == ()


def test_a_forgotten_run_leaves_the_file_too(tmp_path: Path):
    """What was not finished is replaced by what was said instead."""
    with ConversationStore(tmp_path / "c.sqlite") as store:
        agent = store.open("a", ScriptedChatModel([]))
        with pytest.raises(BackendError):
            agent.run("one")
        assert store.list()[0].unfinished
        agent.llm = ScriptedChatModel(["Two."])
        agent.run("two")
        again = store.open("a", ScriptedChatModel([]))
        assert [m.content for m in again.transcript] == ["two", "Two."]


def test_another_conversation_is_in_the_file_too(tmp_path: Path):
    """What was taken back is in it no more, nor is it found."""
    with ConversationStore(tmp_path / "c.sqlite") as store:
        agent = store.open("a", ScriptedChatModel(["One.", "Two.", "Three."]), system="Count.")
        agent.run("My badge is 4821.")
        before = agent.conversation
        agent.run("My badge is 1111 now.")
        assert agent.archive.find(agent.transcript, "1111", 3)
        agent.go_on(agent.conversation.without_last_turn())
        assert store.open("a", ScriptedChatModel([])).conversation == before
        assert not agent.archive.find(agent.transcript, "1111", 3)
        agent.run("three")
        again = store.open("a", ScriptedChatModel([]))
        assert again.conversation == agent.conversation
        assert [m.content for m in again.transcript[3:]] == ["three", "Three."]


def test_a_conversation_deleted_while_open_is_written_anew(tmp_path: Path):
    """Whole, and not only what came after."""
    with ConversationStore(tmp_path / "c.sqlite") as store:
        agent = store.open("a", ScriptedChatModel(["One.", "Two."]))
        agent.run("one")
        store.delete("a")
        agent.run("two")
        assert store.open("a", ScriptedChatModel([])).conversation == agent.conversation


def test_other_files_are_no_store(tmp_path: Path):
    """Text, another program's database, a later version, a folder that is missing."""
    text, other, later = (tmp_path / name for name in ("text", "other", "later"))
    text.write_text("not a database, but long enough to be one" * 20)
    with sqlite3.connect(other) as db:
        db.execute("create table t (a)")
    with sqlite3.connect(later) as db:
        db.execute("pragma user_version = 2")
    db.close()
    for path in (text, other, later):
        with pytest.raises(SnapshotMismatchError, match=path.name):
            ConversationStore(path)
    with pytest.raises(LongCtxError):
        ConversationStore(tmp_path / "nowhere" / "c.sqlite")
    with pytest.raises(LongCtxError):
        ConversationStore("a\0b")


def test_a_store_without_the_tool_is_refused(tmp_path: Path):
    """As a saved agent is."""
    with ConversationStore(tmp_path / "c.sqlite") as store:
        store.open("a", ScriptedChatModel([]), tools=[add])
        with pytest.raises(ToolError, match="add"):
            store.open("a", ScriptedChatModel([]))


# Threads


def test_two_threads_on_one_agent_queue():
    """The turns of one do not fall between those of the other."""
    n = 20
    llm = ScriptedChatModel(["Yes."] * 2 * n)
    agent = Agent(llm)

    def talk(name: str) -> None:
        for i in range(n):
            agent.run(f"{name} {i}")

    threads = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [m.role for m in agent.transcript] == ["user", "assistant"] * 2 * n
    said = [m.content for m in agent.transcript if m.role == "user"]
    for name in "ab":
        assert [s for s in said if s[0] == name] == [f"{name} {i}" for i in range(n)]


def test_a_second_run_in_a_stream_is_an_error_and_not_a_deadlock():
    """In one thread nobody else could finish the first."""
    agent = Agent(ScriptedChatModel(["one two", "three"]))
    stream = agent.stream("go")
    next(stream)
    with pytest.raises(BackendError, match="Agent"):
        agent.run("again")
    assert isinstance(list(stream)[-1], Done)
    assert agent.run("again").text == "three"


def test_nonsense_is_refused_before_anything_is_taken():
    """A wrong text leaves the agent free."""
    agent = Agent(ScriptedChatModel(["Yes."]))
    with pytest.raises(RequestError):
        agent.run("")
    for max_tokens in (-2, -5, "many"):
        with pytest.raises(RequestError, match="max_tokens"):
            agent.run("Go", max_tokens=max_tokens)
    assert agent.run("Go").text == "Yes."
