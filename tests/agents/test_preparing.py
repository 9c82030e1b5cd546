"""Compaction before it is needed: nobody waits for it, and nothing else changes."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, Compacted, ConversationStore, policies
from longctx.errors import BackendError
from longctx.testing import ScriptedChatModel
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
