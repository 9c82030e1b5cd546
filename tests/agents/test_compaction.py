"""Compaction in a running agent: events, reading back, budgets, the cache."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from longctx.agents import (
    Agent,
    CacheLost,
    Compacted,
    ToolResult,
    WindowGrown,
    WindowShrunk,
    policies,
    tool,
)
from longctx.errors import ContextOverflowError, TemplateError
from longctx.testing import ScriptedChatModel
from longctx.types import (
    Completion,
    Message,
    Timings,
    ToolCall,
    Usage,
    WindowReport,
)


@tool
def read(name: str) -> str:
    """Read a note."""
    return f"{name}: " + "word " * 100


def call(**arguments: object) -> ToolCall:
    """Call read as a model would, which numbers its calls anew in every answer."""
    return ToolCall(id="call_1", name="read", arguments=arguments)


def reading(n: int, target_ctx: int = 1200, **options: object) -> tuple[Agent, ScriptedChatModel]:
    """An agent that reads n notes and says something about each."""
    replies = [reply for i in range(n) for reply in (call(name=f"n{i}"), f"Note {i} is read.")]
    llm = ScriptedChatModel(replies, target_ctx=target_ctx)
    return Agent(llm, tools=[read], system="You read.", **options), llm


def test_every_call_has_an_id_of_its_own():
    """Though the model numbers each answer's calls from one."""
    agent, _ = reading(5, 8000)
    for i in range(5):
        agent.run(f"Read n{i}.")
    ids = [m.tool_call_id for m in agent.transcript if m.role == "tool"]
    assert ids == [f"call_{i}" for i in range(1, 6)]


def test_a_long_conversation_fits_and_stays_whole():
    """Every prompt fits with its answer; the transcript has all; compactions come rarely."""
    agent, llm = reading(40)
    events = []
    for i in range(40):
        events += agent.run(f"Read n{i}.").events
    assert len(agent.transcript) == 1 + 4 * 40
    for said in llm.calls:
        assert llm.count(said.messages, said.tools) + llm.reserve_output <= llm.target_ctx
        assert said.messages[0].content == "You read."
    compacted = [event for event in events if isinstance(event, Compacted)]
    assert 4 <= len(compacted) <= 20
    assert all(c.tokens_after < c.tokens_before for c in compacted)
    assert agent.context.compacted == tuple(compacted)
    assert not any(isinstance(event, CacheLost) for event in events)


def test_what_is_compacted_stays_so():
    """Between two compactions each prompt begins with the one before it."""
    agent, llm = reading(40)
    rewritten = 0
    for i in range(40):
        agent.run(f"Read n{i}.")
    for before, after in zip(llm.calls, llm.calls[1:], strict=False):
        rewritten += after.messages[: len(before.messages)] != before.messages
    assert 0 < rewritten <= len(agent.context.compacted) < 20


def test_a_cleared_result_is_read_back_by_the_model():
    """The tool is there from the first prompt on, so that the prompt's head never changes."""
    back = ToolCall(id="x", name="read_result", arguments={"id": "call_1", "start": 4, "n": 9})
    agent, llm = reading(12)
    for i in range(12):
        agent.run(f"Read n{i}.")
    assert len({str(said.tools) for said in llm.calls}) == 1
    agent.llm = ScriptedChatModel([back, "It says word."], target_ctx=1200)
    result = agent.run("What did the first note say?")
    (read_again,) = [event for event in result.events if isinstance(event, ToolResult)]
    assert read_again.text == "[characters 4 to 13 of 504]\nword word"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"id": "call_9"}, "no result 'call_9'; the newest are: call_1"),
        ({"id": "call_1", "start": 900}, "has 504 characters"),
        ({"id": "call_1", "n": 0}, "n: Input should be greater"),
    ],
)
def test_reading_back_what_is_not_there(arguments, said):
    """The model is told what there is."""
    wrong = ToolCall(id="x", name="read_result", arguments=arguments)
    llm = ScriptedChatModel([call(name="n0"), "Read.", wrong, "Sorry."])
    agent = Agent(llm, tools=[read])
    agent.run("Read n0.")
    result = agent.run("Read it again.")
    (error,) = [event for event in result.events if isinstance(event, ToolResult)]
    assert error.is_error
    assert said in error.text


def test_a_flood_is_clamped_on_arrival():
    """Ten megabytes: the model reads head and tail, the transcript has all, nothing is lost."""

    @tool
    def flood() -> str:
        """Return too much."""
        return "begin " + "word " * 2_000_000 + "end"

    llm = ScriptedChatModel([ToolCall(id="1", name="flood"), "Much."], target_ctx=2000)
    agent = Agent(llm, tools=[flood])
    result = agent.run("Flood.")
    (shown,) = [event for event in result.events if isinstance(event, ToolResult)]
    assert shown.clamped
    assert shown.text == llm.calls[1].messages[-1].content
    assert llm.count(shown.text) <= 500
    assert len(agent.transcript[2].content) > 10_000_000
    assert not any(isinstance(event, Compacted) for event in result.events)
    assert agent.context.states == {"clamped": 1}


def test_a_pinned_turn_is_never_dropped():
    """What was said with pin=True is in every later prompt, with its answer."""
    llm = ScriptedChatModel(["Your name is Ada."] + ["Yes."] * 30, target_ctx=400)
    agent = Agent(llm)
    agent.run("My name is Ada.", pin=True)
    for i in range(30):
        agent.run(f"{i} " + "word " * 20)
    assert len(agent.shown) < len(agent.transcript)
    shown = [message.content for message in llm.calls[-1].messages]
    at = shown.index("My name is Ada.")
    assert shown[at + 1] == "Your name is Ada."


def test_what_cannot_fit_is_a_typed_error_with_its_numbers():
    """The newest turn is never cut; the agent goes on afterwards."""
    llm = ScriptedChatModel(["Hello.", "Yes."], target_ctx=300)
    agent = Agent(llm)
    agent.run("Hi")
    with pytest.raises(ContextOverflowError, match="the policy leaves nothing else out") as error:
        agent.run("word " * 400)
    assert error.value.needed > error.value.available == 300
    assert agent.run("Still there?").text == "Yes."
    assert len(agent.transcript) == 4


def test_a_policy_that_breaks_the_conversation_is_named():
    """An orphaned result never reaches the model."""

    def only_the_newest(view: policies.View) -> policies.View:
        return view.without(range(len(view.shown) - 1))

    llm = ScriptedChatModel([call(name="n0"), "Read."])
    agent = Agent(llm, tools=[read], policy=only_the_newest)
    with pytest.raises(TemplateError, match="only_the_newest took out message 0"):
        agent.run("Read n0.")


def test_a_policy_without_levels_is_an_avoidable_loss(caplog):
    """Keeping the last two turns loses the cache every turn, though all of it fits."""

    def last_two_turns(view: policies.View) -> policies.View:
        return view.without([i for turn in view.turns[:-2] for i in turn])

    llm = ScriptedChatModel(["Yes, " + "word " * 60] * 6)
    agent = Agent(llm, policy=last_two_turns)
    with caplog.at_level(logging.WARNING, "longctx"):
        results = [agent.run(f"Question {i}: " + "word " * 60) for i in range(6)]
    lost = [e for result in results for e in result.events if isinstance(e, CacheLost)]
    assert len(lost) == 4
    assert lost[0].expected_tokens > lost[0].cached_tokens
    assert "last_two_turns took something out although" in lost[0].reason
    assert "policies.when_full" in caplog.text


def test_a_second_prefill_is_a_loss_with_the_models_reason():
    """What the window reports is passed on."""
    window = WindowReport(n_ctx=512, method_changed="the window changed by a second prefill: MLA")
    replies = [completion(900, 0), completion(950, 0, window)]
    agent = Agent(ScriptedChatModel(replies))
    agent.run("a")
    (lost,) = [e for e in agent.run("b").events if isinstance(e, CacheLost)]
    assert (lost.expected_tokens, lost.cached_tokens) == (900, 0)
    assert "MLA" in lost.reason


def completion(prompt: int, cached: int, window: WindowReport | None = None) -> Completion:
    """An answer with these costs."""
    return Completion(
        text="Yes.",
        message=Message(role="assistant", content="Yes."),
        finish_reason="stop",
        usage=Usage(prompt_tokens=prompt, cached_tokens=cached, prefilled_tokens=prompt - cached),
        timings=Timings(),
        window=window or WindowReport(n_ctx=8192),
    )


def test_growing_and_shrinking_are_seen_from_turn_to_turn():
    """Also where the model went on in another session, whose own window did not shrink."""
    windows = [(8192, None), (16384, 8192), (8192, None), (8192, None)]
    replies = [completion(10, 9, WindowReport(n_ctx=n, grew_from=grew)) for n, grew in windows]
    agent = Agent(ScriptedChatModel(replies))
    events = [e for i in range(4) for e in agent.run(f"{i}").events]
    changes = [e for e in events if isinstance(e, WindowGrown | WindowShrunk)]
    assert [type(e) for e in changes] == [WindowGrown, WindowShrunk]
    assert (changes[0].grew_from, changes[0].n_ctx) == (8192, 16384)
    assert (changes[1].shrank_from, changes[1].n_ctx) == (16384, 8192)


def test_background_goes_behind_the_words_of_the_newest_turn():
    """It is asked for each turn, and what was said in earlier turns stays as it was."""
    asked = []

    def background(text: str) -> str:
        asked.append(text)
        return f"It is day {len(asked)}."

    llm = ScriptedChatModel(["Hi.", "Day 2."])
    agent = Agent(llm, system="Be brief.", background=background)
    agent.run("Hello")
    agent.run("What day is it?")
    assert asked == ["Hello", "What day is it?"]
    first, second = (said.messages for said in llm.calls)
    assert second[: len(first)] == first
    assert second[-1].content == ("What day is it?\n\n<background>\nIt is day 2.\n</background>")


def test_context_names_sections_and_what_was_compacted():
    """The sections add up to the prompt, the results among them."""
    agent, _ = reading(12, 2200)
    for i in range(12):
        agent.run(f"Read n{i}.")
    context = agent.context
    assert sum(context.sections.values()) == context.total_tokens
    assert context.sections["results"] > 200
    assert context.states["cleared"] >= 1
    # The list of what left, and its acknowledgement, are none of the transcript's.
    assert (context.messages, context.shown_messages) == (49, len(agent.shown) - 2)
    assert "clear_results" in str(context)
    assert f"{context.shown_messages} of 49 messages shown" in str(context)


def test_levels_of_ones_own():
    """Policies are put together from parts."""
    policy = policies.chain(
        partial(policies.clamp_results, max_share=0.1),
        policies.when_full(partial(policies.clear_results, keep=1), policies.drop_oldest, goal=0.3),
    )
    agent, llm = reading(20, policy=policy)
    for i in range(20):
        agent.run(f"Read n{i}.")
    results = [m for m in llm.calls[-1].messages if m.role == "tool"]
    assert all(llm.count(m.content) <= 120 for m in results)
