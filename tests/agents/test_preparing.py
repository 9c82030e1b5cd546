"""Compaction before it is needed: nobody waits for it, and nothing else changes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, Compacted, ConversationStore, Tool, policies
from longctx.channel import Cancelled, Channel
from longctx.errors import BackendError
from longctx.stream import Stream
from longctx.testing import Reply, ScriptedChatModel
from longctx.types import ToolCall
from tests.agents.transcripts import SUMMARY

TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"


def words(i: int) -> str:
    """A turn of some tokens."""
    return f"{i} " + "word " * 30


def test_a_prepared_agent_compacts_between_turns():
    """No run does, none prefills much, and the transcript is the same."""
    plain = Agent(ScriptedChatModel(["Yes."] * 99, target_ctx=500))
    ready = Agent(ScriptedChatModel(["Yes."] * 99, target_ctx=500))
    most = {"plain": 0, "ready": 0}
    n_prepared = 0
    for i in range(40):
        for name, agent in {"plain": plain, "ready": ready}.items():
            result = agent.run(words(i))
            most[name] = max(most[name], result.usage.prefilled_tokens)
            if agent is ready:
                assert not any(isinstance(event, Compacted) for event in result.events)
                n_prepared += len(agent.prepare())
                assert agent.prepare() == ()  # twice is once
    assert ready.transcript == plain.transcript
    assert n_prepared == len(ready.context.compacted) > 2
    assert most["ready"] < 60 < 150 < most["plain"]


def test_a_summary_is_written_between_turns():
    """By the same model; the next turn reads it."""
    llm = ScriptedChatModel(["Yes."] * 11 + [SUMMARY] + ["Yes."] * 9, target_ctx=500)
    policy = policies.when_full(partial(policies.summarise_oldest, max_tokens=60))
    agent = Agent(llm, policy=policy)
    for i in range(11):
        agent.run(words(i))
    (done,) = agent.prepare()
    assert done.policy == "summarise_oldest"
    assert agent.run("And now?").events[0].text == "Yes."
    assert "<summary>" in llm.calls[-1].messages[0].content


def test_a_thread_prepares(tmp_path: Path):
    """And what it did is in the store."""
    with ConversationStore(tmp_path / "c.sqlite") as store:
        llm = ScriptedChatModel(["Yes."] * 99, target_ctx=500)
        agent = store.open("a", llm, prepares=True)
        compacted = 0
        for i in range(40):
            result = agent.run(words(i))
            compacted += any(isinstance(event, Compacted) for event in result.events)
            for thread in [t for t in threading.enumerate() if t.name == "prepare"]:
                thread.join(60)
        assert compacted == 0
        assert len(agent.context.compacted) > 2
        assert store.open("a", llm).conversation == agent.conversation


def test_what_fails_changes_nothing():
    """A model that is gone: the caller is told, a thread keeps silent."""
    agent = Agent(ScriptedChatModel(["Yes."] * 11, target_ctx=500))
    for i in range(11):
        agent.run(words(i))
    before = agent.conversation
    with pytest.raises(BackendError):
        agent.prepare()
    assert agent.conversation == before


def test_on_a_real_model_the_next_turn_prefills_its_own_words():
    """What was prepared stands in the cache."""
    with LongContextLLM(TINY, 512, reserve_output=24, n_threads=1) as llm:
        agent = Agent(llm)
        for i in range(30):
            result = agent.run(words(i), max_tokens=2)
            assert result.usage.prefilled_tokens < 80
            agent.prepare()
        assert agent.context.compacted


# While a tool runs


class Slow(ScriptedChatModel):
    """A model whose summaries do not come before they may, and end when their stream is closed."""

    def __init__(self, replies: list[Reply], **options: Any) -> None:
        super().__init__(replies, **options)
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.n_asked = 0

    def stream_chat(self, messages: Any, **options: Any) -> Stream:
        """Answer, but hold a summary back."""
        stream = super().stream_chat(messages, **options)
        if options.get("response_schema") is None:
            return stream
        self.n_asked += 1
        channel: Channel[Any] = Channel()

        def write() -> None:
            self.may_answer.wait(30)
            with suppress(Cancelled):
                for chunk in stream:
                    channel.send(chunk)

        threading.Thread(target=write, daemon=True).start()
        self.asked.set()
        return Stream(channel)


SUMMING = policies.when_full(partial(policies.summarise_oldest, max_tokens=60))
CALL = ToolCall(id="1", name="look", arguments={})


def nearly_full(llm: ScriptedChatModel, look: Callable[[], str], **settings: Any) -> Agent:
    """An agent that would compact soon, with a tool."""
    filled = Agent(ScriptedChatModel(["Yes."] * 9))
    for i in range(9):
        filled.run(words(i))
    agent = Agent(llm, [Tool(look)], policy=SUMMING, read_back=False, **settings)
    agent.go_on(filled.conversation)
    return agent


def join_preparations() -> None:
    """Wait for the threads that prepare."""
    for thread in [t for t in threading.enumerate() if t.name == "prepare"]:
        thread.join(30)


def test_a_summary_is_written_while_a_tool_runs():
    """The step after the tool is shown it; what the tool said stands behind."""
    llm = Slow([CALL, SUMMARY, "warm", "Done.", *["Yes."] * 9], target_ctx=500)

    def look() -> str:
        """Look."""
        assert llm.asked.wait(30)
        llm.may_answer.set()
        join_preparations()
        return "It rains."

    agent = nearly_full(llm, look, prepares=True)
    result = agent.run("And now?")
    kinds = [type(event).__name__ for event in result.events]
    assert kinds == ["ToolCall", "ToolResult", "Compacted", "TextDelta"]
    shown = llm.calls[3].messages
    assert "<summary>" in shown[0].content
    assert [message.content for message in shown[-3:]] == ["And now?", "", "It rains."]
    assert len(agent.transcript) == 22
    join_preparations()
    assert llm.n_asked == 1


def test_one_that_is_late_takes_its_place_between_turns():
    """The run does not wait for it, for there is room."""
    llm = Slow([CALL, SUMMARY, "Done.", *["Yes."] * 9], target_ctx=515)

    def look() -> str:
        """Look."""
        assert llm.asked.wait(30)
        return "It rains."

    agent = nearly_full(llm, look, prepares=True)
    assert agent.run("And now?").text == "Done."
    assert "<summary>" not in llm.calls[2].messages[0].content
    llm.may_answer.set()
    join_preparations()  # a turn that comes before them does not wait
    assert agent.run("And then?").text == "Yes."
    assert "<summary>" in llm.calls[-1].messages[0].content
    assert llm.n_asked == len(agent.context.compacted) == 1


def test_a_run_that_needs_the_room_waits_for_it():
    """It does not begin a second one."""
    llm = Slow([CALL, SUMMARY, "warm", "Done.", *["Yes."] * 9], target_ctx=500)

    def look() -> str:
        """Look."""
        assert llm.asked.wait(30)
        threading.Timer(0.2, llm.may_answer.set).start()
        return "rain " * 90

    agent = nearly_full(llm, look, prepares=True)
    assert agent.run("And now?").text == "Done."
    assert "<summary>" in llm.calls[3].messages[0].content
    assert llm.n_asked == 1


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("end", ["cancel", "budget", "Ctrl-C"])
@pytest.mark.parametrize("where", ["in the run", "beside a tool"])
def test_a_summary_is_given_up(end: str, where: str):
    """At once, though it does not come; what was said is as before, and can be asked again."""
    beside = where == "beside a tool"
    llm = Slow([*([CALL] if beside else []), SUMMARY, SUMMARY, *["Yes."] * 9], target_ctx=500)
    text = "And now?" if beside else words(10) + words(11)

    def look() -> str:
        """Look."""
        assert llm.asked.wait(30)
        return "rain " * 90

    agent = nearly_full(llm, look, prepares=beside)
    before = agent.transcript

    def stop() -> None:
        assert llm.asked.wait(30)
        if end == "cancel":
            agent.cancel()
        elif end == "Ctrl-C":
            # One that comes while a thread is just about to wait is seen when it wakes, in Python.
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop)
    stopper.start()
    if end == "Ctrl-C":
        with pytest.raises(KeyboardInterrupt):
            agent.run(text)
    else:
        result = agent.run(text, budget_s=1.0 if end == "budget" else None)
        assert result.stop_reason == {"cancel": "cancelled", "budget": "budget"}[end]
    stopper.join()
    assert not llm.may_answer.is_set()
    assert agent.transcript == before
    join_preparations()
    llm.may_answer.set()
    if not beside:
        assert agent.resume().text == "Yes."


def test_a_budget_counts_what_a_summary_takes():
    """It is prefilled and written in the run, too."""
    llm = Slow([SUMMARY, *["Yes."] * 9], target_ctx=500)
    llm.may_answer.set()

    def look() -> str:
        """Look."""
        return ""

    agent = nearly_full(llm, look)
    result = agent.run(words(10) + words(11), budget_tokens=300)
    assert result.stop_reason == "budget"
    assert result.steps == ()


def test_a_budget_counts_what_is_prepared_beside_a_tool():
    """The summary, and what is prefilled for the step after it."""

    def spent(budget: int | None) -> tuple[str, int]:
        llm = Slow([CALL, SUMMARY, "warm", "Done.", *["Yes."] * 9], target_ctx=500)
        llm.may_answer.set()

        def look() -> str:
            """Look."""
            assert llm.asked.wait(30)
            join_preparations()
            return "It rains."

        agent = nearly_full(llm, look, prepares=True)
        result = agent.run("And now?", budget_tokens=budget)
        join_preparations()
        return result.stop_reason, result.usage.prefilled_tokens + result.usage.completion_tokens

    reason, by_steps = spent(None)
    assert reason == "answer"
    assert spent(by_steps + 10)[0] == "budget"
    assert spent(by_steps + 2000)[0] == "answer"


def test_on_a_real_model_the_step_after_a_tool_prefills_its_own_words():
    """What was made room for while the tool ran stands in the cache."""

    def look() -> str:
        """Look."""
        join_preparations()
        return "It rains."

    with LongContextLLM(TINY, 768, reserve_output=24, n_threads=1) as llm:
        filled = Agent(llm, [Tool(look)], read_back=False)
        while filled.context.total_tokens < 640:
            filled.run("word " * 12, max_tokens=2, tool_choice="none")
        agent = Agent(llm, [Tool(look)], read_back=False, prepares=True)
        agent.go_on(filled.conversation)
        result = agent.run("And now?", max_tokens=24, tool_choice="required")
        kinds = [type(event).__name__ for event in result.events]
        assert kinds[:3] == ["ToolCall", "ToolResult", "Compacted"]
        assert result.events[2].tokens_after < 500
        assert result.steps[1].usage.prefilled_tokens < 80
