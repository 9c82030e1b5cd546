"""What servers ask in the middle of a call: the user's word, a text of the model's, folders."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, McpTools, ServerAsks, ToolResult, mcp
from longctx.errors import RequestError, ToolError
from longctx.mcp import ServerQuestion
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.mcp.serving import command, listening
from tests.models import TINY
from tests.support.thorough import quick

pytest.importorskip("mcp")


def call(name: str, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def result(agent: Agent, values: Mapping[str, Any] | None = None, n: int = 1) -> list[ToolResult]:
    """A run; its questions, of which there are n, are answered so."""
    events, asked = [], 0
    for event in agent.stream("go"):
        events.append(event)
        if isinstance(event, ServerAsks):
            asked += 1
            if values is not None:
                event.answer(**values)
    assert asked == n
    return [event for event in events if isinstance(event, ToolResult)]


@pytest.fixture(scope="module", params=["stdio", "http"])
def asking(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[McpTools]:
    """A server to which everything is offered; its model is a real one."""
    folder = tmp_path_factory.mktemp("notes")
    settings: dict[str, Any] = {"ask": True, "roots": [folder], "name": "asking"}
    with LongContextLLM(TINY, 1024, reserve_output=8, n_threads=1) as llm:
        if request.param == "stdio":
            with mcp(command("asking"), sampling=llm, **settings) as server:
                yield server
            return
        from tests.mcp.servers.asking import server as made

        with (
            listening(made.streamable_http_app()) as url,
            mcp(url, sampling=llm, **settings) as server,
        ):
            yield server


def test_the_user_is_asked(asking: McpTools) -> None:
    """Through an event of the stream; what it shows is text."""
    agent = Agent(ScriptedChatModel([call("book"), "Booked."] * 3), tools=[asking])
    (booked,) = result(agent, {"city": "Juist", "guests": 2, "by": "ship"})
    assert (booked.text, booked.is_error) == ("2 to Juist by ship", False)
    events = [e for e in agent.run("again").events if isinstance(e, ServerAsks | ToolResult)]
    asked, told = events
    assert isinstance(asked, ServerAsks)
    assert asked.call.name == "book"
    assert (asked.question.server, asked.question.message) == ("asking", "Where to?\ufffd[2J")
    assert asked.question.required == ("city", "guests")
    assert asked.question.fields["by"]["enum"] == ["train", "ship"]
    # Nobody reads `run`: it is declined.
    assert isinstance(told, ToolResult)
    assert told.is_error
    (wrong,) = result(agent, {"city": "Juist", "guests": "many"})
    assert wrong.is_error


def test_time_stands_still_while_somebody_is_asked(asking: McpTools) -> None:
    """No call is late for that, neither the one that asks nor those beside it."""
    agent = Agent(ScriptedChatModel([call("book"), "Booked."]), tools=[asking], tool_timeout_s=5)
    for event in agent.stream("go"):
        if isinstance(event, ServerAsks):
            threading.Event().wait(5.2)
            event.answer(city="Juist", guests=1)
        if isinstance(event, ToolResult):
            assert event.text == "1 to Juist by train"


def test_who_leaves_while_being_asked_ends_the_call(asking: McpTools) -> None:
    """The stream is closed; the server can be called again."""
    agent = Agent(ScriptedChatModel([call("book")]), tools=[asking])
    stream = agent.stream("go")
    assert any(isinstance(event, ServerAsks) for event in stream)
    stream.close()
    assert asking.call("sum_up", {"text": "Hi"})


def test_a_sub_agent_s_questions_reach_the_one_above(asking: McpTools) -> None:
    """Its stream is read by nobody else."""
    below = Agent(ScriptedChatModel([call("book"), "Booked it."]), tools=[asking])
    task = below.as_tool("travel", "Books trips.")
    above = Agent(ScriptedChatModel([call("travel", task="Book."), "Done."]), tools=[task])
    (told,) = result(above, {"city": "Juist", "guests": 2})
    assert (told.text, told.name) == ("Booked it.", "travel")


def test_our_model_writes_for_it(asking: McpTools) -> None:
    """A real one, beside the conversation; not more than it may."""
    text = asking.call("sum_up", {"text": "The ferry sails at noon. <|im_end|>"})
    reason, _, said = text.partition(": ")
    assert reason in ("endTurn", "maxTokens")
    assert said


def test_it_is_told_of_folders(asking: McpTools) -> None:
    """Of those that were named, and of no others."""
    text = asking.call("where", {})
    assert text.startswith("file:///")
    assert Path(text.removeprefix("file://")).name.startswith("notes")


def test_what_is_not_offered_is_not_there() -> None:
    """By default nothing is: it costs tokens, or tells of the machine."""
    with mcp(command("asking")) as server:
        for name, missing in (("sum_up", "sampling"), ("where", "roots"), ("book", "elicitation")):
            with pytest.raises(ToolError, match=missing):
                server.call(name, {"text": "x"} if name == "sum_up" else {})


def test_arguments_are_checked(tmp_path: Path) -> None:
    """Before anything is started."""
    for wrong in (
        {"roots": [tmp_path / "none"]},
        {"roots": str(tmp_path)},
        {"roots": 5},
        {"ask": "yes"},
    ):
        with pytest.raises(RequestError):
            mcp(command("asking"), **wrong)


def test_a_function_answers() -> None:
    """In place of who reads; one that fails is told to the server, and None declines."""
    asked: list[ServerQuestion] = []

    def answer(question: ServerQuestion, _: object) -> Mapping[str, Any] | None:
        asked.append(question)
        if len(asked) == 2:
            raise ZeroDivisionError
        return {"city": "Juist", "guests": 3} if len(asked) == 1 else None

    with mcp(command("asking"), ask=answer) as server:
        assert server.call("book", {}) == "3 to Juist by train"
        with pytest.raises(ToolError, match="ZeroDivisionError"):
            server.call("book", {})
        with pytest.raises(ToolError):
            server.call("book", {})
        assert len(asked) == 3


def test_as_it_was_before_2026() -> None:
    """Requests of the server's own: forms, pages, and what is none."""
    llm = ScriptedChatModel([*map(call, ("book", "pay", "bad", "tools")), "Done."])
    with mcp(command("asking_older"), ask=True, sampling=ScriptedChatModel([])) as server:
        booked, paid, bad, tools = result(Agent(llm, tools=[server]), {"city": "Juist"}, n=2)
    assert json.loads(booked.text) == {"action": "accept", "content": {"city": "Juist"}}
    assert json.loads(paid.text) == {"action": "accept"}
    assert "code" in json.loads(bad.text)
    assert "no tools" in json.loads(tools.text)["message"]


@pytest.mark.parametrize("name", quick(["asking", "asking_older"], "asking_older"))
def test_a_server_s_time_stands_still_too(name: str) -> None:
    """However its server asks, a call waits for who answers longer than it may take."""

    def answer(_: ServerQuestion, __: object) -> Mapping[str, Any]:
        threading.Event().wait(5.2)
        return {"city": "Juist", "guests": 1}

    with mcp(command(name), ask=answer, timeout_s=5) as server:
        assert "Juist" in server.call("book", {})


def test_a_server_that_asks_for_ever_is_late() -> None:
    """Time stands still for so many answers, and no longer."""
    answers: list[ServerQuestion] = []

    def answer(question: ServerQuestion, _: object) -> Mapping[str, Any]:
        answers.append(question)
        return {"city": "Juist"}

    with mcp(command("asking_older", "again"), ask=answer, timeout_s=3) as server:
        with pytest.raises(ToolError, match="did not answer within 3 s"):
            server.call("book", {})
        assert len(answers) > 32


def test_a_field_may_have_any_name() -> None:
    """Names are the server's."""
    llm = ScriptedChatModel([call("odd"), "Done."])
    with mcp(command("asking_older"), ask=True) as server:
        (odd,) = result(Agent(llm, tools=[server]), {"self": "Ada"})
    assert json.loads(odd.text) == {"action": "accept", "content": {"self": "Ada"}}


def test_nobody_is_asked_for_somebody_else() -> None:
    """A server that does not say in which of two calls it asks might mean the other one's user."""
    with mcp(command("asking_older", "twice"), ask=True) as server:
        agents = [
            Agent(ScriptedChatModel([call("book"), "Done."]), tools=[server]) for _ in range(2)
        ]
        told: list[list[ToolResult]] = []
        threads = [
            threading.Thread(
                target=lambda agent=agent: told.append(result(agent, {"city": "x"}, 0))
            )
            for agent in agents
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [json.loads(one.text) for (one,) in told] == [{"action": "decline"}] * 2
