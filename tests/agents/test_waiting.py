"""Runs that wait for a preparation or another run, and are ended meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from longctx.agents import Agent
from longctx.agents.policies import View, archive
from longctx.channel import Channel
from longctx.stream import Stream
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.support.hanging import HangingTool


class Gate:
    """A policy that is the default one, and, once it is shut, does not come back."""

    def __init__(self) -> None:
        self._policy = archive()
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()

    def __call__(self, view: View) -> View:
        """Let through what comes."""
        if not self._open.is_set():
            self.reached.set()
        self._open.wait(30)
        return self._policy(view)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Nobody comes through, meanwhile."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


class NeverRead(ScriptedChatModel):
    """Asked to read and say nothing, it does not come back before its stream is closed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reading = threading.Event()

    def stream_chat(self, messages: Any, **options: Any) -> Stream:
        """Wait for ever."""
        if options.get("max_tokens") == 1:
            self.reading.set()
            return Stream(Channel())
        return super().stream_chat(messages, **options)


class Doing:
    """Something that a thread does, and what it gave back."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self._given: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._given.append(do()), daemon=True)
        self._thread.start()

    @property
    def value_is_there(self) -> bool:
        """Whether it has come back."""
        self._thread.join(0.01)
        return not self._thread.is_alive()

    @property
    def value(self) -> Any:
        """What it gave back, when it has."""
        self._thread.join(30)
        assert self._given, "it does not come back"
        return self._given[0]


def full(llm: ScriptedChatModel, **settings: Any) -> Agent:
    """An agent whose next turn would compact."""
    agent = Agent(llm, **settings)
    for i in range(11):
        agent.run(f"{i} " + "word " * 30)
    return agent


def test_a_turn_that_waits_is_cancelled() -> None:
    """Though what it waits for cannot be: it ends at once, has done nothing, and can be asked."""
    gate = Gate()
    agent = full(ScriptedChatModel(["Yes."] * 20, target_ctx=500), policy=gate)
    before = agent.conversation
    with gate.shut():
        preparing = Doing(agent.prepare)
        assert gate.reached.wait(30)
        turn = Doing(lambda: agent.run("And now?"))
        while not turn.value_is_there:
            agent.cancel()
        assert not preparing.value_is_there
        assert turn.value.stop_reason == "cancelled"
        assert "did nothing; ask again" in turn.value.detail
        assert agent.conversation == before
    assert preparing.value == ()
    assert agent.conversation == before
    assert agent.run("And now?").text == "Yes."


def test_a_budget_counts_the_wait() -> None:
    """It is up while another run has not ended."""
    hanging = HangingTool()
    llm = ScriptedChatModel([ToolCall(id="1", name="hang", arguments={}), "One.", "Two."])
    agent = Agent(llm, tools=[hanging.tool])
    first = Doing(lambda: agent.run("First"))
    assert hanging.began.wait(30)
    second = agent.run("Second", budget_s=0.05)
    assert second.stop_reason == "budget"
    assert "budget_s=0.05 while it waited" in second.detail
    assert not hanging.ended.is_set()
    hanging.ended.set()
    assert first.value.text == "One."
    assert agent.run("Third").text == "Two."


def test_cancelling_ends_all_that_wait() -> None:
    """The one that is under way, and those behind it."""
    gate, llm = Gate(), ScriptedChatModel(["Late."])
    agent = Agent(llm, policy=gate)
    with gate.shut():
        first = Doing(lambda: agent.run("First"))
        assert gate.reached.wait(30)
        others = [Doing(lambda: agent.run("Another")) for _ in range(3)]
        while not all(one.value_is_there for one in others):
            agent.cancel()
        assert not first.value_is_there
        assert [one.value.stop_reason for one in others] == ["cancelled"] * 3
    assert first.value.stop_reason == "cancelled"
    assert llm.calls == []
    assert agent.resume().text == "Late."


def test_a_preparation_is_cancelled_while_the_model_reads() -> None:
    """The model is let go, and the conversation is as before."""
    llm = NeverRead(["Yes."] * 20, target_ctx=500)
    agent = full(llm)
    before = agent.conversation
    preparing = Doing(agent.prepare)
    assert llm.reading.wait(30)
    agent.cancel()
    assert preparing.value == ()
    assert agent.conversation == before


def test_who_gives_up_is_in_nobody_s_way() -> None:
    """Of those that wait, the others come all the same."""
    hanging = HangingTool()
    call = ToolCall(id="1", name="hang", arguments={})
    agent = Agent(ScriptedChatModel([call, *"012345"]), tools=[hanging.tool])
    runs = [Doing(lambda: agent.run("First"))]
    assert hanging.began.wait(30)
    for _ in range(5):
        assert agent.run("In vain", budget_s=0.01).stop_reason == "budget"
        runs.append(Doing(lambda: agent.run("Next")))
    hanging.ended.set()
    assert sorted(one.value.text for one in runs) == list("012345")
