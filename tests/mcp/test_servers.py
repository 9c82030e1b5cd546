"""Servers as they should be, over real pipes and sockets: the reference server, and the SDK's."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from longctx.agents import (
    Agent,
    ConversationStore,
    McpTools,
    ToolProgress,
    ToolResult,
    mcp,
    tool,
)
from longctx.documents import DocumentQA, load_resources
from longctx.errors import BackendError, RemoteError, RequestError, ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.mcp.serving import appears, children, command, listening, reserved
from tests.support.thorough import thorough

pytest.importorskip("mcp")


def call(name: str, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def results(agent: Agent) -> list[ToolResult]:
    """What tools gave back in one run."""
    return [event for event in agent.run("go").events if isinstance(event, ToolResult)]


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server says what happened to it."""
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module", params=["stdio", "http"])
def friendly(request: pytest.FixtureRequest, marks: Path) -> Iterator[McpTools]:
    """The SDK's server, by a pipe and by a socket."""
    folder = marks / request.param
    folder.mkdir()
    if request.param == "stdio":
        with mcp(command("friendly", folder), name="notes") as server:
            yield server
        return
    from tests.mcp.servers.friendly import make

    app = make(folder).streamable_http_app()
    with listening(app) as url, mcp(url, name="notes") as server:
        yield server


def test_the_reference_server() -> None:
    """mcp-server-time, as PyPI has it: its tools, their results and their errors."""
    if find_spec("mcp_server_time") is None:
        pytest.skip("mcp-server-time is not installed")
    with mcp(f"{sys.executable} -m mcp_server_time") as server:
        assert server.name == "time"
        assert [tool.name for tool in server.tools] == ["get_current_time", "convert_time"]
        llm = ScriptedChatModel(
            [
                call("convert_time", source_timezone="Asia/Tokyo", time="09:00",
                     target_timezone="Etc/UTC"),
                call("get_current_time", timezone="Nowhere/Else"),
                "Midnight.",
            ]
        )  # fmt: skip
        good, bad = results(Agent(llm, tools=[server]))
    assert json.loads(good.text)["time_difference"] == "-9.0h"
    assert not good.is_error
    assert bad.is_error
    assert "Nowhere/Else" in bad.text


def test_tools_are_called_with_progress(friendly: McpTools) -> None:
    """The schema is the server's; what it tells meanwhile are events, in their order."""
    llm = ScriptedChatModel([call("add", a=2, b=3), call("count", to=3), call("add", a="x"), ""])
    events = list(Agent(llm, tools=[friendly]).stream("go"))
    assert [e.text for e in events if isinstance(e, ToolResult)][:2] == ["5", "counted"]
    heard = [(e.done, e.total, e.message) for e in events if isinstance(e, ToolProgress)]
    assert heard == [(1, 3, "at 1"), (2, 3, "at 2"), (3, 3, "at 3")]
    wrong = [e for e in events if isinstance(e, ToolResult)][2]
    assert wrong.is_error
    assert "integer" in wrong.text
    (schema,) = (t["function"] for t in llm.calls[0].tools if t["function"]["name"] == "add")
    assert schema["description"] == "Add two numbers."
    assert schema["parameters"]["properties"]["a"] == {"type": "integer"}


def test_a_cancelled_run_cancels_the_call(friendly: McpTools, marks: Path) -> None:
    """The server is told; and so it is where the agent's limit is up."""
    folder = marks / ("stdio" if not friendly.address.is_url else "http")
    agent = Agent(ScriptedChatModel([call("wait")]), tools=[friendly])
    waiter = threading.Thread(target=lambda: appears(folder / "waiting") and agent.cancel())
    waiter.start()
    assert agent.run("go").stop_reason == "cancelled"
    waiter.join()
    assert appears(folder / "cancelled")
    for limit_s in (0.5, 5, 30):  # on a busy machine the call may not have come by then
        for mark in ("waiting", "cancelled"):
            (folder / mark).unlink(missing_ok=True)
        limited = Agent(
            ScriptedChatModel([call("wait"), ""]), tools=[friendly], tool_timeout_s=limit_s
        )
        assert results(limited)[0].text == f"Error: wait did not return within {limit_s:g} s"
        if (folder / "waiting").exists():
            break
    assert appears(folder / "cancelled")


def test_resources_are_documents(friendly: McpTools) -> None:
    """An agent lists and reads them; DocumentQA takes them in by what they are."""
    llm = ScriptedChatModel(
        [call("list_resources"), call("read_resource", uri="notes://risk"),
         call("read_resource", uri="notes://none"), ""]
    )  # fmt: skip
    listed, read, missing = results(Agent(llm, tools=[friendly]))
    assert listed.text.splitlines()[0] == "notes://risk risk: Who bears the risk."
    assert "the seller bears the risk. <|im_end|>" in read.text
    assert missing.is_error
    qa = DocumentQA(ScriptedChatModel(['"the seller bears the risk" [D1]']))
    loaded = load_resources(friendly)
    assert loaded.skipped == ()
    added = [qa.update(document) for document in loaded.documents]
    assert [document.doc_id for document in added] == ["notes://risk", "notes://page"]
    assert [document.title for document in added] == ["Risk", "Delivery"]
    assert "It takes nine days." in added[1].text
    assert qa.ask("Who bears the risk?").citations[0].doc_id == "notes://risk"


def test_results_that_are_too_long(friendly: McpTools) -> None:
    """Above a megabyte each is an error, however it comes, and what is shorter arrives whole."""
    llm = ScriptedChatModel(
        [call("much", n=1_100_000), call("much", n=3_000_000), call("much", n=200_000), ""],
        target_ctx=99_999,
    )
    over, far_over, under = results(Agent(llm, tools=[friendly]))
    assert "returned 1,100,000 bytes, more than the 1,048,576" in over.text
    assert far_over.is_error
    assert len(far_over.text) < 500
    assert under.text == "x" * 200_000


def test_prompts(friendly: McpTools) -> None:
    """They are messages, which an agent is told; what they have of special tokens is text."""
    prompt, greeting = friendly.prompts()
    assert (prompt.name, prompt.required, prompt.optional) == ("review", ("code",), ())
    (message,) = friendly.prompt("review", code="x = 1")
    assert (message.role, message.content) == ("user", "Review this: x = 1 <|im_start|>")
    with pytest.raises(ToolError, match="refused"):
        friendly.prompt("review")
    # Arguments may be called as ours are.
    assert (greeting.name, greeting.required) == ("greeting", ("name", "self"))
    (message,) = friendly.prompt("greeting", name="Anna", self="Ben")
    assert message.content == "Greet Anna and Ben."


def test_names_that_clash_are_told_apart() -> None:
    """A function keeps its name, a server's tool gets the server's before it; each is called."""

    @tool
    def good() -> str:
        """Be good."""
        return "mine"

    with (
        mcp(command("hostile"), name="left") as left,
        mcp(command("hostile"), name="right") as right,
    ):
        llm = ScriptedChatModel([call("left_good"), call("right_garbage"), call("good"), ""])
        agent = Agent(llm, tools=[left, good, right])
        assert [result.text for result in results(agent)] == ["good", "after garbage", "mine"]
        names = [one.name for one in agent.tools]
        assert len(set(names)) == len(names)
        assert {"good", "left_good", "right_good", "left_die", "right_die"} <= set(names)
        twins = Agent(ScriptedChatModel([]), tools=[left, left])
        assert {"left_good", "left_good_2"} <= {one.name for one in twins.tools}
        alone = Agent(ScriptedChatModel([]), tools=[left])
        assert {"good", "die", "read_result"} <= {one.name for one in alone.tools}


def test_calls_that_need_a_yes() -> None:
    """Those of tools that do not say that they only read, where that is asked for."""
    with mcp(command("hostile"), confirm="changes") as server:
        asks = {one.name: one.confirm for one in server.tools}
        assert (asks["good"], asks["die"]) == (False, True)
        agent = Agent(ScriptedChatModel([call("die"), "No."]), tools=[server])
        assert "die was not called: nobody was asked" in results(agent)[0].text
        assert server.is_up


@pytest.mark.parametrize(
    ("confirm", "asked"),
    [
        pytest.param(False, set(), marks=thorough),
        pytest.param(
            True,
            {"add", "much", "forget", "count", "wait", "list_resources", "read_resource"},
            marks=thorough,
        ),
        ("changes", {"much", "forget", "count", "wait"}),
        (["forget", "read_resource"], {"forget", "read_resource"}),
        pytest.param((), set(), marks=thorough),
    ],
)
def test_which_calls_need_a_yes(tmp_path: Path, confirm: Any, asked: set[str]) -> None:
    """Those of the two tools that read resources are calls like others."""
    with mcp(command("friendly", tmp_path), confirm=confirm) as server:
        assert {one.name for one in server.tools if one.confirm} == asked


def test_names_that_no_tool_has(tmp_path: Path) -> None:
    """A misspelt one would be called unasked: it is refused, and the server is ended."""
    with pytest.raises(RequestError, match=r"'forgett', and friendly has no .* are add, much"):
        mcp(command("friendly", tmp_path), confirm=["forgett", "add"])
    assert children("friendly.py") == []


@pytest.mark.parametrize("uris", ["notes://risk", 5, [5]])
def test_addresses_that_are_no_list(friendly: McpTools, uris: Any) -> None:
    """One address is not a list of letters."""
    with pytest.raises(RequestError, match="uris"):
        load_resources(friendly, uris)


def test_a_server_that_comes_back(tmp_path: Path) -> None:
    """Over HTTP: while it is away calls fail and say so; afterwards they work."""
    from tests.mcp.servers.friendly import make

    with reserved() as port:
        with listening(make(tmp_path).streamable_http_app(), port) as url:
            server = mcp(url)
            assert server.call("add", {"a": 1, "b": 1}) == "2"
        with pytest.raises((RemoteError, ToolError), match=server.name):
            server.call("add", {"a": 1, "b": 1})
        with listening(make(tmp_path).streamable_http_app(), port):
            assert server.call("add", {"a": 1, "b": 2}) == "3"
    server.close()
    with pytest.raises(BackendError, match="was closed"):
        server.call("add", {"a": 1, "b": 1})


def test_sessions_that_a_server_forgot(tmp_path: Path) -> None:
    """One that was begun anew between two calls knows no session; the call is made all the same."""
    from tests.mcp.servers.friendly import make

    with reserved() as port:
        with listening(make(tmp_path).streamable_http_app(), port) as url:
            server = mcp(url)
        with server, listening(make(tmp_path).streamable_http_app(), port):
            assert server.call("add", {"a": 1, "b": 2}) == "3"


def test_a_command_that_was_killed_is_started_again() -> None:
    """Between two calls nothing is lost: the next one finds it running. It ends with the block."""
    with mcp(command("hostile")) as server:
        assert server.call("good", {}) == "good"
        (child,) = children("hostile.py")
        os.kill(child, signal.SIGKILL)
        while server.is_up:
            time.sleep(0.01)
        assert server.call("good", {}) == "good"
        assert children("hostile.py") not in ([], [child])
    assert children("hostile.py") == []


def test_a_stored_conversation_goes_on_with_its_servers(tmp_path: Path) -> None:
    """Its tools are known by name; without the server it is not opened."""
    with (
        mcp(command("hostile")) as server,
        ConversationStore(tmp_path / "chats.sqlite") as store,
    ):
        llm = ScriptedChatModel([call("good"), "2", "Again 2."])
        store.open("anna", llm, tools=[server]).run("1 + 1?")
        assert store.open("anna", llm, tools=[server]).run("Again?").text == "Again 2."
        with pytest.raises(ToolError, match=r"good, .* are not passed"):
            store.open("anna", llm)


@pytest.mark.parametrize(
    ("address", "settings", "error", "said"),
    [
        ("", {}, RequestError, "an MCP server"),
        ("'open", {}, RequestError, "no command line"),
        ("/nowhere/at/all", {}, RemoteError, "No such file"),
        ("http://127.0.0.1:9/mcp", {}, RemoteError, "cannot be opened"),
        ("python", {"name": "two\nlines"}, RequestError, "letters, digits"),
        ("python", {"timeout_s": 0}, RequestError, "timeout_s"),
        ("python", {"confirm": "sometimes"}, RequestError, "confirm"),
        ("python", {"confirm": None}, RequestError, "confirm"),
        ("python", {"confirm": 5}, RequestError, "confirm"),
        ("python", {"confirm": [5]}, RequestError, "confirm"),
        ("python", {"confirm": b"changes"}, RequestError, "confirm"),
        ("python", {"timeout": 5}, RequestError, "did you mean timeout_s"),
        ("python", {"env": {"A": 1}}, RequestError, "env has 'A' of int"),
        ("python", {"env": [("A", "1")]}, RequestError, "env"),
        ("python", {"cwd": 5}, RequestError, "cwd"),
        ("http://127.0.0.1:9/mcp", {"headers": "x"}, RequestError, "headers"),
        ("http://127.0.0.1:9/mcp", {"headers": {"X": None}}, RequestError, "headers has 'X'"),
        ("http://127.0.0.1:9/mcp", {"headers": {"X": "é"}}, RequestError, "headers has 'X'"),
        ("http://127.0.0.1:9/mcp", {"headers": {"X": "a\nb"}}, RequestError, "headers has 'X'"),
    ],
)
def test_what_cannot_be_opened(
    address: str, settings: dict[str, object], error: type[Exception], said: str
) -> None:
    """Each is a typed error that says why."""
    with pytest.raises(error, match=said):
        mcp(address, **settings)


def test_what_a_command_says_when_it_ends_is_said() -> None:
    """Its last lines on standard error stand in the message."""
    with pytest.raises(RemoteError, match="no configuration here"):
        mcp(f"{sys.executable} -c \"import sys; sys.exit('no configuration here')\"")
