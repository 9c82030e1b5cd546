"""Who is asked, what a run may use up, and how it is ended."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longctx import LongContextLLM
from longctx.agents import (
    Agent,
    CallLog,
    ConfirmCall,
    ConversationStore,
    Done,
    TextDelta,
    ToolProgress,
    ToolResult,
    running_call,
    tool,
)
from longctx.errors import LongCtxError, RequestError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.models import TINY
from tests.support.hanging import HangingTool

ENDLESS = {"logit_bias": {1021: -100.0, 1023: -100.0}, "stop_on_repetition": False}
"""The small model writes on: what ends its turns is never drawn."""


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def deleted() -> list[str]:
    """What the tool of :func:`delete` was called with."""
    return []


@pytest.fixture
def delete(deleted: list[str]) -> Any:
    """A tool that somebody must allow."""

    @tool(confirm=True)
    def delete(path: str) -> str:
        """Delete a file."""
        deleted.append(path)
        return "gone"

    return delete


def call(name: str, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def results(events: Any) -> list[ToolResult]:
    """What tools gave back."""
    return [event for event in events if isinstance(event, ToolResult)]


# Allowing


@pytest.mark.parametrize(
    ("answer", "done", "told"),
    [
        (lambda asked: asked.allow(), ["a.txt"], "gone"),
        (lambda asked: asked.deny(), [], "Error: delete was not called: the user said no"),
        (lambda asked: asked.deny("not today"), [], "Error: delete was not called: not today"),
        (lambda asked: None, [], "Error: delete was not called: nobody was asked"),
    ],
)
def test_who_reads_the_stream_answers(delete, deleted, answer, done, told) -> None:
    """A call is made when it was allowed; else the model is told why not, and the run goes on."""
    llm = ScriptedChatModel([call("delete", path="a.txt"), "Well."])
    events = []
    for event in Agent(llm, tools=[delete, add]).stream("go"):
        if isinstance(event, ConfirmCall):
            assert event.call.arguments == {"path": "a.txt"}
            assert deleted == []
            answer(event)
        events.append(event)
    assert deleted == done
    assert results(events)[0].text == told
    assert isinstance(events[-1], Done)
    assert events[-1].result.text == "Well."


@pytest.mark.parametrize(
    ("said", "told"),
    [(True, "gone"), (False, "said no"), ("ask my boss", "ask my boss"), ("", "said no")],
)
def test_a_function_answers(delete, said, told) -> None:
    """For run(), which nobody watches; it is given the call."""
    asked: list[ToolCall] = []

    def confirm(call: ToolCall) -> bool | str:
        asked.append(call)
        return said

    llm = ScriptedChatModel([call("delete", path="a.txt"), "Well."])
    agent = Agent(llm, tools=[delete, add], confirm=confirm)
    assert told in results(agent.run("go").events)[0].text
    assert [one.name for one in asked] == ["delete"]


def test_only_the_calls_that_need_it_are_asked_for(delete, deleted) -> None:
    """Of several in one step, in their order; results are in the order of the calls."""
    from longctx.types import Completion, Message, Timings, Usage, WindowReport

    calls = (call("delete", path="a"), call("add", a=1, b=2), call("delete", path="b"))
    message = Message(role="assistant", tool_calls=calls)
    several = Completion(
        text="", message=message, finish_reason="tool_calls", usage=Usage(), timings=Timings(),
        window=WindowReport(n_ctx=4096, scale=1.0, method="none"),
    )  # fmt: skip
    llm = ScriptedChatModel([several, "Done."])
    agent = Agent(llm, tools=[delete, add], confirm=lambda call: call.arguments["path"] == "b")
    result = agent.run("go")
    assert [one.text[:3] for one in results(result.events)] == ["Err", "3", "gon"]
    assert deleted == ["b"]
    assert len([e for e in result.events if isinstance(e, ConfirmCall)]) == 2


def test_confirm_is_true_or_false() -> None:
    """Anything else is refused where the tool is made."""
    with pytest.raises(RequestError, match="confirm"):
        tool(confirm="yes")  # type: ignore[call-overload]


# Budgets


def test_tokens_of_a_run() -> None:
    """When they are used up no step begins; what was done so far is kept, and can go on."""
    replies = [call("add", a=n, b=1) for n in range(20)]
    agent = Agent(ScriptedChatModel([*replies, "Done."]), tools=[add], max_steps=30)
    result = agent.run("go", budget_tokens=600)
    assert result.stop_reason == "budget"
    assert "budget_tokens=600" in result.detail
    assert 1 < len(result.steps) < 20
    assert result.usage.prefilled_tokens + result.usage.completion_tokens >= 600
    assert agent.transcript == ()
    assert agent.unfinished[-1].role == "tool"
    assert agent.resume().text == "Done."


def test_a_budget_cuts_an_answer() -> None:
    """A real model stops at the token that was the last; the answer is asked for again later."""
    with LongContextLLM(TINY, 1024, reserve_output=64) as llm:
        agent = Agent(llm)
        result = agent.run("Hello.", budget_tokens=60, **ENDLESS)
        used = result.usage.prefilled_tokens + result.usage.completion_tokens
        assert result.stop_reason == "budget"
        assert used == 60 + result.usage.prefilled_tokens
        assert agent.resume(max_tokens=4).stop_reason in ("answer", "length")
        cut = agent.run("Hello.", budget_tokens=500, max_tokens=3, **ENDLESS)
        assert cut.stop_reason == "length"


def test_seconds_of_a_run() -> None:
    """Whatever it is at: the model's writing, or a tool that hangs."""
    released = threading.Event()

    @tool
    def hang() -> str:
        """Hang."""
        released.wait(30)
        return ""

    agent = Agent(ScriptedChatModel([call("hang")]), tools=[hang])
    result = agent.run("go", budget_s=0.1)
    released.set()
    assert result.stop_reason == "budget"
    assert "budget_s=0.1" in result.detail
    with LongContextLLM(TINY, 8192, reserve_output=64) as llm:
        written = Agent(llm).run("Hello.", budget_s=0.3, max_tokens=6000, **ENDLESS)
        assert written.stop_reason == "budget"
        assert llm.chat([{"role": "user", "content": "Hi."}], max_tokens=2).text is not None


@pytest.mark.parametrize(
    "wrong", [{"budget_tokens": 0}, {"budget_s": -1}, {"dry_run": "yes"}, {"budget": 3}]
)
def test_limits_that_are_none(wrong) -> None:
    """They are refused before anything is done."""
    agent = Agent(ScriptedChatModel(["Hello."]))
    with pytest.raises(RequestError):
        agent.run("Hi", **wrong)
    assert agent.run("Hi").text == "Hello."


# Cancelling


def test_cancelled_while_the_model_writes() -> None:
    """From another thread: the stream ends, the model is free, and the run can be taken up."""
    with LongContextLLM(TINY, 8192, reserve_output=64) as llm:
        agent = Agent(llm)
        pieces = 0
        for event in agent.stream("Hello.", max_tokens=6000, **ENDLESS):
            pieces += isinstance(event, TextDelta)
            if pieces == 3:
                canceller = threading.Thread(target=agent.cancel)
                canceller.start()
                canceller.join()
        assert isinstance(event, Done)
        assert event.result.stop_reason == "cancelled"
        assert pieces < 100
        assert agent.transcript == ()
        assert agent.resume(max_tokens=3).text
        assert len(agent.transcript) == 2


def test_cancelled_while_the_model_reads() -> None:
    """A prefill has no text to wait for: it is ended at its next batch all the same."""
    with LongContextLLM(TINY, 8192, reserve_output=16) as llm:
        agent = Agent(llm)
        read = 0

        def told(progress: Any) -> None:
            nonlocal read
            read = progress.done_tokens
            agent.cancel()

        result = agent.run("word " * 2500, on_progress=told)
        assert result.stop_reason == "cancelled"
        assert 0 < read < 4000


def test_cancelled_while_a_tool_hangs() -> None:
    """The tool is told that nobody waits."""
    hanging = HangingTool()
    agent = Agent(ScriptedChatModel([call("hang"), "Done."]), tools=[hanging.tool])
    threading.Thread(target=lambda: hanging.began.wait(30) and agent.cancel()).start()
    assert agent.run("go").stop_reason == "cancelled"
    assert hanging.ended.is_set()
    assert agent.resume().text == "Done."
    assert "not known what it did" in agent.transcript[2].content


def test_cancelling_where_nothing_runs() -> None:
    """It does nothing, and the next run is whole."""
    agent = Agent(ScriptedChatModel(["Hello."]))
    agent.cancel()
    assert agent.run("Hi").text == "Hello."


def test_a_cancelled_run_of_a_store_goes_on_elsewhere(tmp_path: Path) -> None:
    """It is written like one whose program was killed."""
    with ConversationStore(tmp_path / "a.sqlite") as store:
        agent = store.open("a", ScriptedChatModel([call("add", a=1, b=1)]), tools=[add])
        for event in agent.stream("go"):
            if isinstance(event, ToolResult):
                agent.cancel()
        again = store.open("a", ScriptedChatModel(["2."]), tools=[add])
        assert [message.role for message in again.unfinished] == ["user", "assistant", "tool"]
        assert again.resume().text == "2."


# Looking


def test_a_dry_run_does_nothing(delete, deleted) -> None:
    """It says what would be called, wrong arguments too, and the conversation is as before."""
    llm = ScriptedChatModel(
        ["Hello.", call("delete", path="a.txt"), call("add", a="x", b=1), "Just words.", "Bye."]
    )
    agent = Agent(llm, tools=[delete, add])
    agent.run("Hi")
    before = agent.conversation
    result = agent.run("go", dry_run=True)
    assert (result.stop_reason, deleted) == ("dry_run", [])
    assert 'would call delete({"path": "a.txt"})' in result.detail
    assert [event.name for event in result.events if isinstance(event, ToolCall)] == ["delete"]
    assert "valid integer" in agent.run("go", dry_run=True).detail
    assert agent.conversation == before
    assert agent.unfinished == ()
    answered = agent.run("go", dry_run=True)
    assert (answered.stop_reason, answered.text) == ("answer", "Just words.")
    assert agent.conversation == before
    assert agent.run("Bye").text == "Bye."


# What was called


def test_calls_are_logged(tmp_path: Path) -> None:
    """One line of JSON each, as they ended; the reader gives them back, and shows each."""

    released = threading.Event()

    @tool(timeout_s=0.05)
    def slow(text: str) -> str:
        """Be slow."""
        released.wait(30)
        return text

    @tool
    def long() -> str:
        """Say much."""
        return "é" * 30_000

    path = tmp_path / "calls.jsonl"
    llm = ScriptedChatModel(
        [call("add", a=2, b=3), call("slow", text="x\ny"), call("long"), "Done."], target_ctx=99_999
    )
    Agent(llm, tools=[add, slow, long], call_log=path).run("go")
    released.set()
    log = CallLog(path)
    logged = log.calls()
    assert [(one.name, one.is_error) for one in logged] == [
        ("add", False), ("slow", True), ("long", False),
    ]  # fmt: skip
    assert (logged[0].arguments, logged[0].result) == ({"a": 2, "b": 3}, "5")
    assert logged[1].seconds >= 0.05
    assert (logged[2].n_characters, len(logged[2].result)) == (30_000, 20_000)
    assert "add(a=2, b=3) ok in" in str(logged[0])
    assert len(str(logged[2])) < 300
    assert json.loads(path.read_text().splitlines()[0])["name"] == "add"
    with path.open("a") as file:
        file.write('{"at": ')
    assert len(log.calls()) == 3
    path.write_text("{}\n")
    with pytest.raises(LongCtxError, match="is no call log"):
        log.calls()
    with pytest.raises(LongCtxError, match="cannot be written"):
        Agent(
            ScriptedChatModel([call("add", a=1, b=1)]), tools=[add], call_log=tmp_path / "no" / "x"
        ).run("go")


def test_what_follows_half_a_line_is_read(tmp_path: Path) -> None:
    """A program may be killed at any byte of a call, and the next one adds to the same file."""
    log, path = CallLog(tmp_path / "whole.jsonl"), tmp_path / "calls.jsonl"
    result = ToolResult(call_id="1", name="echo", text="é")
    log.write(call("echo", text="日本"), result, 0.1)
    line = log.path.read_bytes()
    for n in range(len(line) + 1):
        path.write_bytes(line + line[:n])
        half = CallLog(path)
        whole = 1 + (n >= len(line) - 1)  # all but the end of the line
        half.write(call("echo", text="again"), result, 0.1)
        half.write(call("echo", text="once more"), result, 0.1)
        assert [one.arguments["text"] for one in half.calls()][whole:] == ["again", "once more"]
        assert len(half.calls()) == whole + 2


@given(text=st.text())
@example(text="a\u2028b\u2029c\x85d\r\n\x0be")
def test_a_logged_call_is_a_line_whatever_it_says(text: str) -> None:
    """JSON leaves characters bare that end a line in other places."""
    with tempfile.TemporaryDirectory() as folder:
        log = CallLog(Path(folder) / "calls.jsonl")
        asked = call("echo", text=text)
        for _ in range(2):
            log.write(asked, ToolResult(call_id="1", name="echo", text=text), 0.1)
        assert [(one.arguments, one.result) for one in log.calls()] == [({"text": text}, text)] * 2


def test_a_tool_is_told_in_spite_of_what_fails() -> None:
    """What one function of it raises neither ends the run nor keeps the others from it."""
    told: list[str] = []

    def fail() -> None:
        told.append("failed")
        raise ValueError("gone already")

    @tool(timeout_s=0.05)
    def hang() -> str:
        """Hang."""
        running = running_call()
        assert running is not None
        ended = threading.Event()
        running.on_abandon(fail)
        running.on_abandon(lambda: told.append("ended"))
        running.on_abandon(ended.set)
        ended.wait(30)
        running.on_abandon(fail)  # at once
        told.append("returned")
        last.set()
        return ""

    last = threading.Event()
    result = Agent(ScriptedChatModel([call("hang"), "Done."]), tools=[hang]).run("go")
    assert result.text == "Done."
    assert last.wait(30)
    # The first two come from the thread that gave it up, or from its own, where it was that late.
    assert sorted(told[:-1]) == ["ended", "failed", "failed"]
    assert told[-1] == "returned"


def test_progress_of_a_tool_is_told() -> None:
    """As events, in order, and before its result; outside of an agent nobody listens."""

    @tool
    def work(n: int) -> str:
        """Work."""
        if running := running_call():
            for i in range(n):
                running.progress(i + 1, n, f"step {i + 1}")
        return "done"

    events = list(Agent(ScriptedChatModel([call("work", n=3), ""]), tools=[work]).stream("go"))
    told = [e for e in events if isinstance(e, ToolProgress | ToolResult)]
    assert [e.done for e in told if isinstance(e, ToolProgress)] == [1, 2, 3]
    assert isinstance(told[-1], ToolResult)
    assert work.call({"n": 2}) == "done"
    result = events[-1].result
    assert type(result).model_validate_json(result.model_dump_json()) == result
