"""Forks, and agents as tools of others: what they share, and what they do not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, ConversationStore, RunningCall, ToolResult, policies, tool
from longctx.agents.policies import View
from longctx.agents.running import CURRENT
from longctx.errors import RequestError, ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import Completion, Message, Timings, ToolCall, Usage, WindowReport
from tests.models import TINY
from tests.support.hanging import HangingTool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def call(name: str, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def calling(*calls: ToolCall) -> Completion:
    """A step of several calls."""
    return Completion(
        text="", message=Message(role="assistant", tool_calls=calls), finish_reason="tool_calls",
        usage=Usage(), timings=Timings(), window=WindowReport(n_ctx=4096, scale=1.0, method="none"),
    )  # fmt: skip


def results(agent: Agent, text: str = "go") -> list[ToolResult]:
    """What tools gave back in one run."""
    return [event for event in agent.run(text).events if isinstance(event, ToolResult)]


def test_a_fork_goes_its_own_way(tmp_path) -> None:
    """Neither knows what the other said since, and only one is in the store."""
    with ConversationStore(tmp_path / "a.sqlite") as store:
        llm = ScriptedChatModel(["One.", "Left.", "Right.", call("add", a=1, b=2), "3."])
        agent = store.open("a", llm, tools=[add], system="Be brief.", max_steps=3)
        agent.run("First", pin=True)
        fork = agent.fork()
        assert fork.conversation == agent.conversation
        agent.run("To the left")
        fork.run("To the right")
        assert [m.content for m in agent.transcript[3:]] == ["To the left", "Left."]
        assert [m.content for m in fork.transcript[3:]] == ["To the right", "Right."]
        assert (fork.max_steps, fork.tools, fork.policy) == (3, fork.tools, agent.policy)
        assert fork.run("1 + 2?").text == "3."
        assert store.list()[0].messages == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llm", ScriptedChatModel(["Another."])),
        ("policy", policies.keep_everything),
        ("max_steps", 3),
        ("tool_timeout_s", 5.0),
        ("background", lambda words: "It is Monday."),
        ("temperature", 0.7),
        ("agent_name", "another"),
        ("confirm", lambda call: True),
        ("call_log", None),
    ],
)
def test_what_was_set_later_holds_for_forks(tmp_path: Path, name: str, value: Any) -> None:
    """As it does for the agent's next run; what was not set is as it was."""
    agent = Agent(ScriptedChatModel(["One."]), call_log=tmp_path / "calls.jsonl")
    setattr(agent, name, value)
    fork = agent.fork()
    for each in ("llm", "policy", "max_steps", "tool_timeout_s", "background", "temperature",
                 "agent_name", "confirm", "call_log"):  # fmt: skip
        assert getattr(fork, each) is getattr(agent, each)
    assert getattr(fork, name) is value


def test_a_setting_of_a_run_is_the_one_that_was_set_last() -> None:
    """By the agent, its forks and its tasks; one that is none is refused where it counts."""
    llm = ScriptedChatModel(["Yes."] * 4)
    agent = Agent(llm)
    agent.temperature = 0.7
    agent.run("Hi")
    agent.fork().run("Hi")
    agent.as_tool("delegate", "Work.").call({"task": "Hi"})
    assert [one.options["temperature"] for one in llm.calls] == [0.7] * 3
    agent.confirm = True  # type: ignore[assignment]  # nonsense on purpose
    with pytest.raises(RequestError, match="confirm"):
        agent.run("Hi")


def test_an_embedder_is_loaded_once() -> None:
    """One that is named is the same in each fork."""
    agent = Agent(ScriptedChatModel([]), embedder="a-model-that-is-nowhere")
    assert agent.archive.embedder is not None
    assert agent.fork().fork().archive.embedder is agent.archive.embedder


def test_a_fork_of_a_run_in_the_middle_has_none_of_it() -> None:
    """What is not finished is not in it."""
    agent = Agent(ScriptedChatModel(["One.", "Two."]))
    agent.run("First")
    stream = agent.stream("Second")
    next(stream)
    fork = agent.fork()
    stream.close()
    assert len(fork.transcript) == 2
    assert fork.unfinished == ()


def test_forks_share_the_cache_of_a_real_model() -> None:
    """Both find the conversation prefilled; each reads its own words only."""
    with LongContextLLM(TINY, 4096, reserve_output=16) as llm:
        agent = Agent(llm, system="The pass key is 48213. " * 40)
        began = agent.run("Hello.", max_tokens=8).usage
        left, right = agent.fork(), agent.fork()
        for one in (left, right, agent):
            usage = one.run("What is the pass key?", max_tokens=8).usage
            assert usage.cached_tokens >= began.prompt_tokens
            assert usage.prefilled_tokens < 60


def test_an_agent_is_a_tool() -> None:
    """It gets the task, and its answer alone is told; each task begins where the agent stands."""
    worker = Agent(
        ScriptedChatModel([call("add", a=2, b=3), "It is 5.", "Again."]), tools=[add], system="Sum."
    )
    llm = ScriptedChatModel(
        [call("calculate", task="2 + 3?"), call("calculate", task="x"), "Done."]
    )
    agent = Agent(llm, tools=[worker.as_tool("calculate", "Do sums.")])
    first, second = results(agent)
    assert (first.text, second.text) == ("It is 5.", "Again.")
    assert [m.role for m in worker.transcript] == ["system"]
    schema = llm.calls[0].tools[0]["function"]
    assert (schema["name"], schema["description"]) == ("calculate", "Do sums.")
    assert schema["parameters"]["required"] == ["task"]


def test_one_that_comes_to_no_answer() -> None:
    """It is told as an error, with the reason."""
    worker = Agent(ScriptedChatModel([call("add", a=2, b=3)] * 4), tools=[add], max_steps=1)
    llm = ScriptedChatModel([call("calculate", task="2 + 3?"), "Done."])
    (result,) = results(Agent(llm, tools=[worker.as_tool("calculate", "Do sums.")]))
    assert result.is_error
    assert "calculate came to no answer: the model still wanted tools" in result.text


@pytest.mark.parametrize(
    ("name", "description", "said"),
    [
        ("two words", "x", "'two words' is no tool's name"),
        (3, "x", "3 is no tool's name"),
        ("ok", "", "ok has the description ''"),
        ("ok", 3, "ok has the description 3"),
    ],
)
def test_names_that_are_none(name: Any, description: Any, said: str) -> None:
    """They are refused as those of functions are, in words that suit."""
    with pytest.raises(ToolError, match=said):
        Agent(ScriptedChatModel([])).as_tool(name, description)


def test_cancelling_reaches_sub_agents() -> None:
    """One is at a tool when the agent above it is cancelled: the tool is told, too."""
    hanging = HangingTool()
    worker = Agent(ScriptedChatModel([call("hang")]), tools=[hanging.tool])
    agent = Agent(
        ScriptedChatModel([call("delegate", task="x")]), tools=[worker.as_tool("delegate", "Work.")]
    )
    threading.Thread(target=lambda: hanging.began.wait(30) and agent.cancel()).start()
    assert agent.run("go").stop_reason == "cancelled"
    assert hanging.ended.wait(30)


def test_a_task_that_nobody_waits_for_does_not_begin() -> None:
    """Abandoned between its call and its run: the model is not asked."""
    llm = ScriptedChatModel(["Too late."])
    running = RunningCall(call("delegate", task="x"), lambda progress: None)
    running.abandon()
    token = CURRENT.set(running)
    try:
        with pytest.raises(ToolError, match="nobody waits"):
            Agent(llm).as_tool("delegate", "Work.").call({"task": "x"})
    finally:
        CURRENT.reset(token)
    assert llm.calls == []


def test_nothing_is_prepared_behind_a_task() -> None:
    """What it was done on is thrown away."""
    threads: list[str] = []

    def noting(view: View) -> View:
        threads.append(threading.current_thread().name)
        return view

    worker = Agent(ScriptedChatModel(["Yes."] * 2), policy=noting, prepares=True)

    def prepared() -> bool:
        for thread in [t for t in threading.enumerate() if t.name == "prepare"]:
            thread.join(30)
        return "prepare" in threads

    assert worker.as_tool("delegate", "Work.").call({"task": "x"}) == "Yes."
    assert not prepared()
    worker.fork().run("Hi")
    assert prepared()


def test_tasks_of_one_step_run_side_by_side() -> None:
    """Each waits, in a tool, until all four are there."""
    meeting = threading.Barrier(4)

    @tool
    def meet() -> str:
        """Wait for the others."""
        meeting.wait(30)
        return "met"

    worker = Agent(ScriptedChatModel([call("meet")] * 4 + ["Met."] * 4), tools=[meet])
    calls = [call("helper", task=str(n)) for n in range(4)]
    boss = Agent(
        ScriptedChatModel([calling(*calls), "Done."]), tools=[worker.as_tool("helper", "Meet.")]
    )
    assert [one.text for one in results(boss)] == ["Met."] * 4


def test_several_on_one_real_model() -> None:
    """Tasks of one step are answered as they are one at a time, each in a window of its own."""
    with LongContextLLM(TINY, 2048, reserve_output=16) as llm:
        tasks = [f"The code of room {n} is {n}310. What is the code of room {n}?" for n in range(4)]
        worker = Agent(llm, system="You answer briefly.")
        alone = [worker.fork().run(task, max_tokens=12).text for task in tasks]
        helper = worker.as_tool("helper", "Answer a question.")
        calls = [call("helper", task=task) for task in tasks]
        boss = Agent(ScriptedChatModel([calling(*calls), "Done."]), tools=[helper])
        # They are told no limit, so each goes on where its answer alone was cut.
        together = [one.text for one in results(boss)]
        assert [text[: len(first)] for text, first in zip(together, alone, strict=True)] == alone
        assert worker.transcript[-1].role == "system"
