"""The window of a running agent, on a small trained model that remembers what it can see."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pydoc_data.topics import topics

import pytest

from longctx import LongContextLLM
from longctx.agents import (
    Agent,
    CacheLost,
    Compacted,
    ConversationStore,
    ToolResult,
    WindowGrown,
    WindowShrunk,
    policies,
    tool,
)
from longctx.agents.events import StepEvent
from tests.models import TINY
from tests.support.thorough import quick

TRAINED, TARGET = 512, 1024
FACT = "The pass key is 48213. Remember it. 48213 is the pass key."
QUESTION = "What is the pass key?"
PROSE = " ".join(topics["exceptions"].split())


def model(**options: object) -> LongContextLLM:
    """Trained on 512 tokens, and wanted to hold 1,024."""
    return LongContextLLM(TINY, TARGET, **{"reserve_output": 16, "n_threads": 1, **options})


@pytest.fixture
def llm() -> Iterator[LongContextLLM]:
    """The model, with nothing in its cache."""
    with model() as opened:
        yield opened


def chatter(agent: Agent, n: int, words: int = 300) -> list[StepEvent]:
    """Say n things of 300 characters each; return all events."""
    events: list[StepEvent] = []
    for i in range(n):
        begin = i * words % (len(PROSE) - words)
        events += agent.run(PROSE[begin : begin + words], max_tokens=12).events
    return events


def of(events: list[StepEvent], kind: type) -> list[StepEvent]:
    """Those of one kind."""
    return [event for event in events if isinstance(event, kind)]


def knows(agent: Agent) -> bool:
    """Whether the model finds the fact."""
    return "48213" in agent.run(QUESTION, max_tokens=12).text


def test_it_grows_first_and_compacts_at_the_target_only(llm):
    """No prompt is prefilled twice while it grows, and every prompt fits."""
    agent = Agent(llm)
    events = chatter(agent, 12)
    grown, compacted = of(events, WindowGrown), of(events, Compacted)
    assert (grown[0].grew_from, grown[0].n_ctx, grown[0].method) == (512, 1024, "self-extend")
    assert events.index(grown[0]) < events.index(compacted[0])
    assert compacted[0].tokens_before + 12 > TARGET
    assert compacted[0].tokens_after <= 0.6 * (TARGET - 12)
    assert not of(events, CacheLost)
    assert len(agent.transcript) == 24
    assert agent.context.total_tokens == llm.count(agent.shown) < TARGET


def test_a_turn_prefills_what_is_new_while_it_grows(llm):
    """Over the growth too: the keys are re-rotated, not computed again."""
    agent = Agent(llm)
    n_before = 0
    for i in range(8):
        result = agent.run(PROSE[i * 300 : (i + 1) * 300], max_tokens=12)
        (step,) = result.steps
        # Of the last answer, only what ends the turn is new.
        assert step.usage.cached_tokens >= n_before
        n_before = step.usage.prompt_tokens
    assert step.window.n_ctx == TARGET


def test_it_shrinks_back_after_a_compaction(llm):
    """When what is left fits the trained window, it is unscaled again."""
    agent = Agent(llm, policy=policies.when_full(policies.drop_oldest, goal=0.3))
    events = chatter(agent, 9)
    (shrunk,) = of(events, WindowShrunk)
    assert (shrunk.shrank_from, shrunk.n_ctx, shrunk.scale) == (TARGET, TRAINED, 1.0)


def test_a_pinned_fact_is_found_after_growth_compaction_and_reload(llm, tmp_path):
    """And one that was dropped is not."""
    agent, forgetful = Agent(llm), Agent(llm)
    agent.run(FACT, max_tokens=12, pin=True)
    chatter(agent, 5)
    assert agent.context.n_ctx == TARGET
    assert knows(agent)
    chatter(agent, 6)
    assert agent.context.compacted
    assert knows(agent)
    agent.save(tmp_path / "agent.json")
    with model() as other:
        assert knows(Agent.load(tmp_path / "agent.json", other))
    forgetful.run(FACT.replace("48213", "90657"), max_tokens=12)
    chatter(forgetful, 11)
    assert "90657" not in str(forgetful.shown[0].content)
    assert "90657" in str(forgetful.transcript[0].content)


def test_a_loaded_agent_prefills_only_what_is_new(tmp_path, caplog):
    """The KV cache comes with it, answers with the very ids that the model wrote."""
    path = tmp_path / "agent.json"
    with model(seed=1) as llm:
        agent = Agent(llm, temperature=2.0)  # so that ids differ from those of their text
        chatter(agent, 9)
        held = agent.context.total_tokens
        agent.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.json", "agent.json.kv"]
    with model() as other:
        loaded = Agent.load(path, other)
        assert loaded.conversation == agent.conversation
        (step,) = loaded.run(QUESTION, max_tokens=8).steps
        assert step.usage.cached_tokens > held - 20
        assert step.usage.prefilled_tokens < 40
    (tmp_path / "agent.json.kv").write_bytes(b"no snapshot")
    with model() as other, caplog.at_level(logging.WARNING, "longctx"):
        loaded = Agent.load(path, other)
        assert "the next turn prefills" in caplog.text
        (step,) = loaded.run(QUESTION, max_tokens=8).steps
        assert step.usage.cached_tokens == 0


def test_the_cache_of_a_conversation_in_a_file(llm, tmp_path):
    """What the model offers for it: nothing is written of what is not cached."""
    file, said = tmp_path / "chat.kv", [{"role": "user", "content": FACT}]
    assert llm.save_chat(file, said) == 0
    assert not file.exists()
    answer = llm.chat(said)
    n = llm.save_chat(file, [*said, answer.message])
    assert n == answer.usage.prompt_tokens + answer.usage.completion_tokens
    with model() as other:
        assert other.load_chat(file) == n
        assert other.chat(said).usage.cached_tokens == answer.usage.prompt_tokens - 1


def test_saving_without_the_cache(llm, tmp_path):
    """Megabytes that need not be."""
    agent = Agent(llm)
    agent.run(FACT, max_tokens=8)
    agent.save(tmp_path / "agent.json", keep_cache=False)
    assert [p.name for p in tmp_path.iterdir()] == ["agent.json"]
    loaded = Agent.load(tmp_path / "agent.json", llm)
    assert knows(loaded)


@pytest.mark.parametrize("overflow", quick(["slide", "compress"], "compress"))
def test_endless(tmp_path, overflow):
    """The window slides or compresses, system and tools stay, the transcript is whole on disk."""

    @tool
    def room(number: int) -> str:
        """Say the code of a room."""
        return "The code of room 7 is 5310."

    with model(overflow=overflow) as llm, ConversationStore(tmp_path / "c.sqlite") as store:
        agent = store.open("a", llm, tools=[room], system="You know things.")
        events = chatter(agent, 15)
        last = agent.run(PROSE[:300], max_tokens=8).steps[-1]
        assert last.window.dropped_tokens + last.window.compressed_tokens > 100
        assert last.usage.prefilled_tokens < 250
        assert not of(events, CacheLost)
        assert not agent.context.compacted
        again = store.open("a", llm, tools=[room])
        assert again.transcript == agent.transcript
        assert len(agent.transcript) == 33


def test_a_forced_call_and_its_result_by_grammar(llm):
    """A model that was never shown a tool makes a valid call, and reads what comes of it."""

    @tool
    def room(number: int) -> str:
        """Say the code of a room."""
        return f"The code of room {number} is 5310."

    agent = Agent(llm, tools=[room], read_back=False)
    events = agent.run("What is the code of room 7?", tool_choice="required", max_tokens=48).events
    (result,) = of(events, ToolResult)
    assert "5310" in result.text


def test_two_agents_share_a_model(llm):
    """Each finds its own conversation in the cache."""
    agents = [Agent(llm, system=f"You are number {i}. " * 70) for i in range(2)]
    for i in range(3):
        for agent in agents:
            (step,) = agent.run(PROSE[i * 300 : (i + 1) * 300], max_tokens=8).steps
            if i:
                assert step.usage.prefilled_tokens < 160
