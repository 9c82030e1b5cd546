"""Servers that change what they offer while an agent lives: seen at its next turn, and told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from longctx import LongContextLLM
from longctx.agents import (
    Agent,
    ConversationStore,
    McpTools,
    ServerChanged,
    ToolResult,
    ToolsChanged,
    mcp,
)
from longctx.errors import ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.mcp.serving import children, command, listening

pytest.importorskip("mcp")
TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"


def call(name: str, /, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def said(agent: Agent, text: str = "go", **options: object) -> list[object]:
    """What a turn told of its servers."""
    events = agent.run(text, **options).events  # type: ignore[arg-type]  # options of a run
    return [event for event in events if isinstance(event, ToolsChanged | ServerChanged)]


def heard(is_so: Callable[[], bool]) -> bool:
    """Wait until a server's word has come, half a minute at most."""
    end = time.monotonic() + 30
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


@pytest.fixture(params=["stdio", "http"])
def changing(request: pytest.FixtureRequest) -> Iterator[McpTools]:
    """The SDK's server, by a pipe and by a socket."""
    if request.param == "stdio":
        with mcp(command("changing"), name="changing") as server:
            yield server
        return
    from tests.mcp.servers.changing import make

    with (
        listening(make().streamable_http_app()) as url,
        mcp(url, name="changing") as server,
    ):
        yield server


def test_tools_come_and_go(changing: McpTools) -> None:
    """Those of a turn are those at its beginning; the model is shown others in the next one."""
    llm = ScriptedChatModel(
        [call("learn", name="dance"), call("dance"), "Not yet.",
         call("dance"), "Danced.", call("unlearn", name="dance"), "Forgotten.", "Nothing."]
    )  # fmt: skip
    agent = Agent(llm, tools=[changing])
    first = agent.run("Learn to dance.")
    results = [event for event in first.events if isinstance(event, ToolResult)]
    assert "there is no tool 'dance'" in results[1].text
    assert heard(lambda: "dance" in {tool.name for tool in changing.tools})
    assert "dance" not in {tool.name for tool in agent.tools}
    dance = {"type": "function", "function": {"name": "dance"}}
    second = agent.run("Dance.", tool_choice=dance)
    assert second.events[0] == ToolsChanged(added=("dance",))
    assert [e.text for e in second.events if isinstance(e, ToolResult)] == ["dance was learnt"]
    assert "dance" in {tool["function"]["name"] for tool in llm.calls[3].tools}
    agent.run("Forget it.")
    assert heard(lambda: "dance" not in {tool.name for tool in changing.tools})
    assert said(agent) == [ToolsChanged(removed=("dance",))]
    assert said(Agent(ScriptedChatModel([""]), tools=[changing])) == []


def test_documents_and_prompts(changing: McpTools) -> None:
    """The first document brings the tools that read it; each agent is told once."""
    agents = [Agent(ScriptedChatModel([call("write", name="risk"), *"abcd"]), tools=[changing])]
    agents.append(Agent(ScriptedChatModel([*"abcd"]), tools=[changing]))
    agents[0].run("go")
    assert heard(lambda: bool(changing.resources()) and bool(changing.prompts()))
    told = ServerChanged(server="changing", lists=("resources", "prompts"))
    added = ToolsChanged(added=("list_resources", "read_resource"))
    for agent in agents:
        assert heard(lambda: min(map(changing.changed, told.lists)) > 1)
        assert said(agent) == [added, told]
        assert said(agent) == []
    assert [resource.uri for resource in changing.resources()] == ["notes://risk"]
    assert [prompt.name for prompt in changing.prompts()] == ["risk"]


def test_a_server_of_the_protocol_before() -> None:
    """It tells unasked."""
    with mcp(command("older")) as server:
        agent = Agent(ScriptedChatModel([call("change"), *"abc"]), tools=[server])
        assert said(agent) == []
        assert heard(lambda: server.changed("prompts") > 1)
        assert said(agent) == [
            ToolsChanged(added=("second",), removed=("first",)),
            ServerChanged(server="older", lists=("prompts",)),
        ]


def test_a_server_that_was_begun_anew_is_read_again() -> None:
    """It may be another; one that offers the same as before is not told of."""
    with mcp(command("older")) as server:
        agent = Agent(
            ScriptedChatModel([call("change"), *"abc", call("second"), "d"]), tools=[server]
        )
        agent.run("go")
        assert heard(lambda: server.changed("tools") > 1)
        agent.run("go")
        (child,) = children("older.py")
        os.kill(child, signal.SIGKILL)
        assert heard(lambda: not server.is_up)
        assert server.call("first", {}) == "first is done"
        assert said(agent)[0] == ToolsChanged(added=("first",), removed=("second",))


def test_who_does_not_follow_keeps_what_there_was() -> None:
    """The prompt is the same, whatever the server says."""
    with mcp(command("older"), follow=False) as server:
        agent = Agent(ScriptedChatModel([call("change"), "a", call("first"), "b"]), tools=[server])
        agent.run("go")
        assert said(agent) == []
        assert "first" in {tool.name for tool in agent.tools}
        assert server.changed("tools") == 0


def test_a_restless_server() -> None:
    """It is read where a turn begins, however often it speaks."""
    with mcp(command("older", "restless")) as server:
        agent = Agent(ScriptedChatModel([*"abc"]), tools=[server])
        for _ in range(3):
            for told in said(agent):
                assert isinstance(told, ServerChanged) or len(told.added) == len(told.removed) == 3
            assert len([tool for tool in agent.tools if tool.name.startswith("t")]) == 3
        assert heard(lambda: server.changed("tools") > 50)
        assert server.refused == ()


def test_what_appears_later_is_asked_for() -> None:
    """Who named the calls to allow could not name it."""
    with mcp(command("older"), confirm=["first"]) as server:
        server.call("change", {})
        assert heard(lambda: "second" in {tool.name for tool in server.tools})
        assert {tool.name for tool in server.tools if tool.confirm} == {"second"}


def test_a_stored_conversation_of_a_server_that_changed(tmp_path: Path) -> None:
    """It opens where the server is there, though a tool of it is not; not where it is missing."""
    with ConversationStore(tmp_path / "chats.sqlite") as store:
        with mcp(command("older"), name="notes") as server:
            agent = store.open("a", ScriptedChatModel(["b"]), tools=[server])
            server.call("change", {})
            assert heard(lambda: server.changed("tools") > 1)
            agent.run("go")
            assert "second" in {tool.name for tool in agent.tools}
        with mcp(command("older"), name="notes") as server:
            assert store.open("a", ScriptedChatModel([]), tools=[server]).transcript
        with pytest.raises(ToolError, match="second, which are not passed"):
            store.open("a", ScriptedChatModel([]))
        with (
            mcp(command("older"), name="other") as server,
            pytest.raises(ToolError, match="second, which are not passed"),
        ):
            store.open("a", ScriptedChatModel([]), tools=[server])


@pytest.mark.parametrize("prepared", [False, True])
def test_what_it_costs_a_real_model(prepared: bool) -> None:
    """All is prefilled again, once: in the next turn, or before it. The turn after it finds its
    cache."""
    with mcp(command("older")) as server, LongContextLLM(TINY, 1024, n_threads=1) as llm:
        agent = Agent(llm, tools=[server], read_back=False)
        agent.run("word " * 60, max_tokens=4, tool_choice="none")
        server.call("change", {})
        assert heard(lambda: server.changed("tools") > 1)
        if prepared:
            assert agent.prepare() == ()
        first, second = (agent.run("And now?", max_tokens=4, tool_choice="none") for _ in range(2))
        assert isinstance(first.events[0], ToolsChanged)
        assert (first.usage.prefilled_tokens > 100) is not prepared
        assert second.usage.prefilled_tokens < 40


def listened_to_late(app: Any) -> Any:
    """An application that is slow to hear who wants to be told of changes."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            if b"subscriptions/listen" in message.get("body", b""):
                await anyio.sleep(1)
            return message

        await app(scope, received, send)

    return slow


def test_what_changes_at_once_is_seen() -> None:
    """A server that was opened tells already, however long that took."""
    from tests.mcp.servers.changing import make

    app = listened_to_late(make().streamable_http_app())
    with listening(app) as url, mcp(url, name="changing") as server:
        assert server.call("learn", {"name": "dance"}) == "learnt"
        assert heard(lambda: "dance" in {tool.name for tool in server.tools})


def test_the_limit_of_a_request_is_not_that_of_opening() -> None:
    """A server may take its time to begin, and then has to answer soon."""
    with mcp(command("older", "slow"), timeout_s=1.2) as server:
        assert server.call("first", {}) == "first is done"
