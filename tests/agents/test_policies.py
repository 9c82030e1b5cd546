"""What every policy keeps, over random conversations; then what each one does."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.agents import policies
from longctx.agents.policies import View
from longctx.agents.read_back import read_result_tool
from longctx.agents.validity import check_view
from longctx.errors import RequestError, TemplateError
from longctx.types import Message, ToolCall
from tests.agents.transcripts import SUMMARISERS, SUMMARY, transcripts, view_of
from tests.support.thorough import quick

EXAMPLES = int(os.environ.get("LONGCTX_EXAMPLES", "60"))


def forget_searches(view: View) -> View:
    """A policy as a user writes it."""
    old = [i for i in view.results if view.messages[i].name == "search"]

    def cleared(n: int) -> View:
        after = view
        for position in old[:n]:
            after = after.with_text(position, "[an old search]", "cleared")
        return after

    return view.least(len(old), cleared)


POLICIES = {
    "keep_everything": policies.keep_everything,
    "clamp_results": policies.clamp_results,
    "clamp_results, little": partial(policies.clamp_results, max_share=0.02),
    "drop_superseded": policies.drop_superseded,
    "clear_results": policies.clear_results,
    "clear_results, all": partial(policies.clear_results, keep=0),
    "drop_oldest": policies.drop_oldest,
    "summarise_oldest": partial(policies.summarise_oldest, max_tokens=40),
    "default": policies.default(),
    "summarising": policies.summarising(),
    "early": policies.when_full(policies.drop_oldest, trigger=0.5, goal=0.2),
    "one's own": forget_searches,
    "chain of all": policies.chain(
        forget_searches, policies.clear_results, policies.summarise_oldest, policies.drop_oldest
    ),
}


@pytest.mark.parametrize("name", quick(POLICIES, "default", "chain of all"))
@settings(max_examples=EXAMPLES, deadline=None)
@given(said=transcripts(), room=st.integers(60, 3000), goal=st.floats(0.05, 1), data=st.data())
def test_invariants(name, said, room, goal, data):
    """System, pinned and newest words stay; calls and results pair; nothing is changed; f∘f = f."""
    policy, (transcript, pinned) = POLICIES[name], said
    summariser = data.draw(st.sampled_from(sorted(SUMMARISERS)))
    schemas = [read_result_tool(lambda: ()).schema] if data.draw(st.booleans()) else []
    view = view_of(transcript, pinned, room, llm=SUMMARISERS[summariser], tools=schemas)
    view = replace(view, goal_tokens=int(goal * room))
    before = copy.deepcopy(transcript)
    after = policy(view)
    assert view.transcript == after.transcript == before
    assert after.tokens == view.llm.count(after.messages, schemas or None)
    paired(after.messages)
    stay = [i for i, m in enumerate(transcript) if m.role == "system"]
    newest = max(i for i, m in enumerate(transcript) if m.role == "user")
    for place in {*stay, *pinned, newest}:
        (shown,) = [s for s in after.shown if s.index == place]
        assert shown.content is None
        assert transcript[place] in after.messages
    talk = [m for m in after.messages if m.role != "system"]
    assert talk[0].role == "user"
    check_view(view, after, name)
    # A summary that is longer than it was to be leaves too much, and the next one has still to do.
    wrote = any(e.policy == "summarise_oldest" and "summed up" in e.detail for e in after.log)
    if not (wrote and after.is_over):
        assert policy(after).shown == after.shown
    # What can be reached is reached, and nothing goes for nothing.
    if name in ("drop_oldest", "default"):
        left = after.units if name == "drop_oldest" or after.tokens > room else ()
        limit = view.goal_tokens if name == "drop_oldest" else room
        assert after.tokens <= limit or not left
    if name == "default" and view.tokens <= room:
        assert all(s.state in ("whole", "clamped") for s in after.shown)
        assert len(after.shown) == len(transcript)


def paired(messages):
    """Every call is followed by its results, and there are no others."""
    expected = []
    for message in messages:
        if message.role == "tool":
            assert message.tool_call_id in expected
            expected.remove(message.tool_call_id)
        else:
            assert not expected
            expected = [call.id for call in message.tool_calls]
    assert not expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(said=transcripts(), data=st.data())
def test_a_view_that_breaks_an_invariant_is_found(said, data):
    """Dropping any message that must stay, or half a step, is refused with the policy's name."""
    transcript, pinned = said
    view = view_of(transcript, pinned)
    position = data.draw(st.integers(0, len(transcript) - 1))
    message = transcript[position]
    users = [i for i, m in enumerate(transcript) if m.role == "user"]
    must = message.role in ("system", "tool") or position in pinned or position == users[-1]
    behind = transcript[position + 1 : position + 2]
    first = position == users[0] and behind and behind[0].role == "assistant"
    broken = view.without([position])
    if must or message.tool_calls or first:
        with pytest.raises(TemplateError, match="the policy mine"):
            check_view(view, broken, "mine")
    else:
        check_view(view, broken, "mine")


def conversation(n_turns: int, words: int = 100) -> tuple[Message, ...]:
    """A system prompt, and turns that each read a note and say something about it."""
    messages = [Message(role="system", content="You read notes.")]
    for i in range(1, n_turns + 1):
        read = ToolCall(id=f"call_{i}", name="read", arguments={"name": f"note {i}"})
        messages += [
            Message(role="user", content=f"Read note {i}."),
            Message(role="assistant", tool_calls=(read,)),
            Message(
                role="tool", content=f"note {i}: " + "word " * words,
                tool_call_id=f"call_{i}", name="read",
            ),
            Message(role="assistant", content=f"Note {i} has words."),
        ]  # fmt: skip
    return (*messages, Message(role="user", content="And now?"))


def test_an_oversized_result_shows_head_marker_and_tail():
    """So much as the share allows, exactly counted; the transcript has it whole."""
    text = "begin " + "middle " * 20_000 + "end"
    call = ToolCall(id="call_1", name="read", arguments={})
    transcript = (
        Message(role="user", content="Read."),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=text, tool_call_id="call_1", name="read"),
    )
    read = read_result_tool(lambda: transcript)
    view = view_of(transcript, room=1936, tools=[read.schema])
    after = policies.clamp_results(view)
    shown = after.messages[-1].content
    assert shown.startswith("begin middle")
    assert shown.endswith("middle end")
    assert 'characters cut; read_result("call_1") shows them' in shown
    assert 0.8 * 500 < view.llm.count(shown) <= 500
    assert view.transcript[-1].content == text
    assert read.call({"id": "call_1", "start": len(text) - 3}).endswith("\nend")


def test_ten_megabytes_are_not_tokenised():
    """Only the beginning is counted to see that a text is too long."""
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text.split())

    from longctx.agents.clipping import clip

    text = clip("ten words or so and then all over again " * 250_000, 1000, count, lambda: "")
    assert text is not None
    assert len(text.split()) <= 1000
    assert counted < 400_000


def test_superseded_results_go_and_the_last_stays():
    """The same call with the same arguments; another one is not touched."""
    transcript = conversation(4)
    again = [
        m.model_copy(
            update={"tool_calls": (m.tool_calls[0].model_copy(update={"arguments": {"a": 1}}),)}
        )
        if m.tool_calls and m.tool_calls[0].id != "call_2"
        else m
        for m in transcript
    ]
    view = replace(view_of(tuple(again)), goal_tokens=0)
    states = [s.state for s in policies.drop_superseded(view).shown if s.state != "whole"]
    assert states == ["superseded", "superseded"]
    after = policies.drop_superseded(view)
    assert [i for i, s in enumerate(after.shown) if s.state == "superseded"] == [3, 7 + 4]


def test_results_are_cleared_oldest_first_and_only_as_far_as_needed():
    """The marker says how to read them."""
    transcript = conversation(8)
    read = read_result_tool(lambda: transcript)
    view = view_of(transcript, room=5000, tools=[read.schema])
    after = policies.clear_results(replace(view, goal_tokens=view.tokens - 150))
    cleared = [m.content for m in after.messages if "cleared" in m.content]
    assert cleared == [
        '[508 characters cleared; read_result("call_1") shows them]',
        '[508 characters cleared; read_result("call_2") shows them]',
    ]
    every = policies.clear_results(replace(view, goal_tokens=0), keep=3)
    assert sum(s.state == "cleared" for s in every.shown) == 5


def test_hysteresis():
    """Nothing until the window is full; then down to the goal, so that the next comes late."""
    policy = policies.when_full(policies.drop_oldest, goal=0.5)
    transcript = conversation(10)
    full = view_of(transcript, room=view_of(transcript).tokens)
    assert policy(full).shown == full.shown
    after = policy(replace(full, room_tokens=full.room_tokens - 1))
    assert 0.35 * full.room_tokens < after.tokens <= 0.5 * full.room_tokens
    (entry,) = after.log
    assert (entry.policy, entry.tokens_before, entry.tokens_after) == (
        "drop_oldest", full.tokens, after.tokens,
    )  # fmt: skip
    assert "messages no longer shown" in entry.detail


def test_stages_stop_at_the_goal():
    """What is missed least goes first, and what need not go stays."""
    transcript = conversation(10)
    view = view_of(transcript, room=view_of(transcript).tokens - 1)
    make_room = policies.when_full(
        policies.drop_superseded, policies.clear_results, policies.archive_oldest
    )
    after = make_room(view)
    assert [entry.policy for entry in after.log] == ["clear_results"]
    assert len(after.shown) == len(transcript)


def test_a_pinned_turn_outlives_its_neighbours():
    """Its words and its answer; its calls may go."""
    transcript = conversation(6)
    view = replace(view_of(transcript, frozenset({5})), goal_tokens=0)
    after = policies.drop_oldest(view)
    assert [m.content for m in after.messages] == [
        "You read notes.", "Read note 2.", "Note 2 has words.", "And now?",
    ]  # fmt: skip


def test_a_summary_stands_behind_the_system_prompt_and_grows():
    """Tagged, in fixed sections; the second one is asked for with the first one in view."""
    transcript = conversation(8)
    view = view_of(transcript, room=700)
    policy = policies.when_full(partial(policies.summarise_oldest, max_tokens=64))
    after = policy(view)
    assert after.messages[1].role == "user"
    assert after.messages[1].content == (
        "<summary>\nWhat the user wants:\n- Find the risk.\nFacts to remember:\n- Bremen: 42\n"
        "What was done:\nWhat is still open:\n</summary>"
    )
    assert after.messages[2].role == "assistant"
    (asked, options) = view.llm.asked[0]
    assert asked[:-1] == transcript[: len(asked) - 1]  # what stands in the cache
    assert options["tool_choice"] == "none"
    more = tuple(
        m.model_copy(update={"content": "longer " * 200}) if m.role == "user" else m
        for m in transcript[1:5]
    )
    longer = replace(
        after,
        transcript=(*transcript, *more),
        shown=(
            *after.shown,
            *(policies.Shown(index=len(transcript) + i) for i in range(len(more))),
        ),
        log=(),
    )
    again = policy(longer)
    assert "<summary>" in "".join(m.content for m in view.llm.asked[1][0])
    assert sum("<summary>" in m.content for m in again.messages) == 1


@pytest.mark.parametrize("name", sorted(set(SUMMARISERS) - {"good"}))
def test_a_bad_summary_is_rejected_and_the_log_says_why(name):
    """The turns are dropped by the next policy, and nothing worse takes their place."""
    view = view_of(conversation(8), room=700, llm=SUMMARISERS[name])
    after = policies.summarising()(replace(view, room_tokens=500))
    assert not any(s.state == "summary" for s in after.shown)
    rejected = [entry for entry in after.log if entry.policy == "summarise_oldest"]
    assert rejected[0].detail.startswith("no summary: ")
    assert rejected[0].tokens_before == rejected[0].tokens_after
    assert after.tokens <= 500


def test_a_summary_says_each_thing_once():
    """Small models repeat themselves."""
    from longctx.agents.summary import render

    text = render(json.dumps({**json.loads(SUMMARY), "open": ["a", "a ", "b"]}))
    assert text is not None
    assert text.count("- a\n") == 1


@pytest.mark.parametrize(("trigger", "goal"), [(0.5, 0.6), (1.1, 0.6), (1.0, 0.0)])
def test_levels_that_are_none(trigger, goal):
    """They are refused when the policy is made."""
    with pytest.raises(RequestError):
        policies.when_full(trigger=trigger, goal=goal)
