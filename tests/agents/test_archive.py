"""What leaves the window is found again: by the model, beside the user's words, after a kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx import LongContextLLM
from longctx.agents import Agent, ConversationStore, Recalled, ToolResult, policies, tool
from longctx.agents.archive import Archive, is_told, text_of
from longctx.agents.background import with_background
from longctx.agents.recall import NOTHING
from longctx.agents.saved import SavedAgent
from longctx.errors import ContextOverflowError
from longctx.search.passages import passages_of
from longctx.testing import ScriptedChatModel
from longctx.types import Message, ToolCall
from tests.agents.transcripts import transcripts, view_of
from tests.support.thorough import thorough

EXAMPLES = int(os.environ.get("LONGCTX_EXAMPLES", "60"))
TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
FILLER = "word " * 30


@tool
def read(name: str) -> str:
    """Read a note."""
    return f"The note {name} says that {name * 3} is the code. " + FILLER


def talked(facts: list[str], target_ctx: int = 500, **options: Any) -> tuple[Agent, Any]:
    """An agent that was told facts, and then so much else that they left its window."""
    llm = ScriptedChatModel(["Yes."] * 99, target_ctx=target_ctx)
    agent = Agent(llm, **options)
    for fact in [*facts, *(f"{i} {FILLER}" for i in range(25))]:
        agent.run(fact)
    assert not any(fact in m.content for m in agent.shown[-9:] for fact in facts)
    return agent, llm


def recalled(agent: Agent, text: str) -> list[Recalled]:
    """What a turn brought back."""
    return [event for event in agent.run(text).events if isinstance(event, Recalled)]


# Nothing is lost, twice is once


@settings(max_examples=EXAMPLES, deadline=None)
@given(said=transcripts(), room=st.integers(60, 900), goal=st.floats(0.05, 1))
def test_whatever_is_no_longer_shown_is_found(said, room, goal):
    """Each message by a word that only it has, verbatim, with its turn; as often as it is asked."""
    transcript = tuple(
        m.model_copy(update={"content": f"{m.content} m{place}x"}) if m.content else m
        for place, m in enumerate(said[0])
    )
    view = replace(view_of(transcript, said[1], room), archive=Archive(), goal_tokens=0)
    view = replace(view, goal_tokens=int(goal * room))
    after = policies.archive()(view)
    assert policies.archive()(after).shown == after.shown
    shown = [m.content for m in after.messages]
    turn = 0
    for place, message in enumerate(transcript):
        turn += message.role == "user"
        if message.role == "system" or not message.content:
            continue
        mark = f"m{place}x"
        found = view.archive.find(transcript, mark, 5, shown=shown)
        assert found == view.archive.find(transcript, mark, 5, shown=shown)
        (part,) = [p.strip() for p in passages_of(text_of(message)) if mark in p]
        if not any(part in text for text in shown):
            (passage,) = [p for p in found if mark in p.text]
            assert (passage.text.strip(), passage.turn) == (part, turn)
        # Nothing is told twice.
        assert not any(p.text in text for p in found for text in shown)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(said=transcripts(), room=st.integers(60, 900))
def test_what_stood_behind_the_words_is_found_by_itself(said, room):
    """Paragraph by paragraph, verbatim; one that stood behind several turns once, of the last."""
    users = [place for place, m in enumerate(said[0]) if m.role == "user"]
    transcript = tuple(
        m.model_copy(
            update={"content": with_background(m.content, f"own b{place}x\n\nof every turn bxx")}
        )
        if place in users
        else m
        for place, m in enumerate(said[0])
    )
    view = replace(view_of(transcript, said[1], room), archive=Archive(), goal_tokens=room // 2)
    shown = [m.content for m in policies.archive()(view).messages]
    for turn, place in enumerate(users, 1):
        found = view.archive.find(transcript, f"b{place}x", 5, shown=shown)
        own = [(p.source, p.turn) for p in found if p.text == f"own b{place}x"]
        stands = any(f"own b{place}x" in text for text in shown)
        assert own == ([] if stands else [("background", turn)])
    every = view.archive.find(transcript, "bxx", 9)
    assert [(p.text, p.turn) for p in every][:1] == [("of every turn bxx", len(users))][
        : len(users)
    ]
    assert len({p.text for p in every}) == len(every)


@settings(max_examples=EXAMPLES, deadline=None)
@given(said=transcripts(), room=st.integers(60, 900))
def test_every_turn_that_left_has_a_line_or_is_counted(said, room):
    """The list has a sixteenth of the room at most, and speaks of each number once."""
    transcript, pinned = said
    view = view_of(transcript, pinned, room)
    after = policies.archive_oldest(replace(view, goal_tokens=room // 2))
    kept = {s.index for s in after.shown}
    turns = [0]
    for message in transcript:
        turns.append(turns[-1] + (message.role == "user"))
    gone = {turns[place + 1] for place in range(len(transcript)) if place not in kept} - {0}
    notes = [s.content or "" for s in after.shown if s.state == "summary" and s.role == "user"]
    if not notes:
        # None was dropped, or there is no room for the lines.
        least = view.without([i for unit in view.units for i in unit])
        assert not gone or least.tokens + room // 16 + 20 > room // 2
        return
    (note,) = notes
    assert view.llm.count(note) <= room // 16 + 20
    listed: set[int] = set()
    for line in note.splitlines()[2:-1]:
        first, _, last = line.split(":")[0].split(",")[0].partition(" to ")
        numbers = set(range(int(first), int(last or first) + 1))
        assert not numbers & listed
        listed |= numbers
    assert gone <= listed


# Beside the user's words


def test_what_is_asked_about_is_put_beside_the_words():
    """The fact, its turn and no more, in the newest turn, so that the cache holds."""
    agent, llm = talked(["My badge number is 4821.", "I have a dog called Rex."])
    before = agent.shown
    (event,) = recalled(agent, "What is the number of my badge?")
    assert event.turns == (1,)
    asked = llm.calls[-1].messages
    assert asked[:-1] == before
    assert asked[-1].content == (
        "Recalled:\n[turn 1] My badge number is 4821.\n\nWhat is the number of my badge?"
    )
    assert agent.transcript[-2].content == "What is the number of my badge?"
    assert agent.context.states["recalled"] == 1
    # It stands in the window now.
    assert recalled(agent, "Tell me the number of my badge!") == []


def test_the_newest_version_is_there_with_the_older():
    """In the order of the turns, so that the last one holds."""
    agent, llm = talked(["My badge is 4821.", "I like tea.", "My badge is now 7733."])
    (event,) = recalled(agent, "What is my badge?")
    assert event.turns == (1, 3)
    assert "[turn 3] My badge is now 7733.\n\nWhat" in llm.calls[-1].messages[-1].content


def test_of_many_words_the_question_is_looked_up():
    """What is pasted around it is not asked about."""
    agent, _ = talked(["My badge number is 4821.", "The ferry to Juist sails at noon."])
    (event,) = recalled(agent, f"{FILLER}. The ferry to Juist! What is my badge number? {FILLER}")
    assert event.turns == (1,)


MANY = "word " * 21


@pytest.mark.parametrize(
    ("fact", "question"),
    [
        ("رقم شارتي هو 4821.", f"{MANY}. ما رقم شارتي؟ {MANY}"),
        ("我的工号是四八二一。", f"{'谢谢。' * 20}我的工号是多少\uff1f{'好的。' * 20}"),
        (
            "我的工号是四八二一。",
            "我的工号是多少呢我的工号是什么呢我的工号是几呢",
        ),  # 12 words or so
        ("Version 3.5 costs 4821 euros.", f"{MANY}. What does version 3.5 cost? {MANY}"),
        ("मेरा बैज नंबर 4821 है।", f"{MANY}। मेरा बैज नंबर क्या है? {MANY}"),
    ],
    ids=["ar", "zh", "zh, long", "3.5", "hi"],
)
def test_questions_of_many_words_in_any_language(fact, question):
    """By their marks, of which other scripts have others."""
    agent, llm = talked([fact])
    (event,) = recalled(agent, question)
    assert event.turns == (1,)
    assert f"[turn 1] {fact}" in llm.calls[-1].messages[-1].content


def test_a_long_text_without_a_sentence_is_looked_through_once():
    """It took the square of its length: a minute for 100,000 characters."""
    agent, _ = talked(["My badge number is 4821."])
    with pytest.raises(ContextOverflowError):
        agent.run("a b " * 100_000)


@pytest.mark.parametrize(
    "asked", ["كم عددها؟", 'He asked "Who?"', "Որտե՞ղ՞", "**Who?**", "谁\uff1f"]
)
def test_a_question_tells_nothing(asked):
    """Whatever its mark is, and what stands behind it."""
    assert not is_told("user", asked)
    assert is_told("user", f"{asked} Anna.")


@pytest.mark.parametrize("text", ["And what now?", f"7 {FILLER}", "Tell me a joke, please.", "雨?"])
def test_other_words_bring_nothing_back(text):
    """No tokens for what nobody asked about."""
    agent, _ = talked(["My badge number is 4821.", "I have a dog called Rex."])
    assert recalled(agent, text) == []


def test_background_is_not_asked_about():
    """It is found for the words already."""
    agent, llm = talked(["My badge number is 4821."], background=lambda _: "a thing " * 30)
    (event,) = recalled(agent, "My badge number?")
    assert event.turns == (1,)
    said = llm.calls[-1].messages[-1].content
    assert said.index("Recalled:") < said.rindex("My badge number?") < said.rindex("<background>")


def test_a_question_with_background_is_no_answer():
    """One that was asked before, and is still shown, does not stand for what was told."""
    fact, question = "My badge number is 4821.", "Is 4822 my badge number?"
    llm = ScriptedChatModel(["Yes."] * 99, target_ctx=500)
    agent = Agent(llm, background=lambda _: "Boats sail.")
    for text in (fact, *(f"{i} {FILLER}" for i in range(5)), question):
        agent.run(text)
    while any(m.content.startswith(fact) for m in agent.shown):
        agent.run(FILLER)
    assert any(m.content.startswith(question) for m in agent.shown)
    (event,) = recalled(agent, "My badge number?")
    assert event.turns == (1,)
    assert "<background>" not in agent.shown[0].content  # the lines about what is gone


def test_words_that_fill_the_window_stay_alone():
    """What is looked up never makes a turn fail that would have fitted."""
    agent, llm = talked(["My badge number is 4821."])
    agent.run("My badge number? " + "and " * (llm.target_ctx - llm.reserve_output - 9))
    assert llm.calls[-1].messages[0].content.startswith("My badge number? and")


def test_a_look_up_that_needs_room_makes_it():
    """Whenever it is asked for."""
    for n in range(8):
        agent, llm = talked(["My badge number is 4821."])
        for i in range(n):
            agent.run(f"and {i} {FILLER}")
        assert len(recalled(agent, "What is my badge number?")) == 1
        assert "4821" in llm.calls[-1].messages[-1].content


# By the model


def test_a_model_with_tools_recalls():
    """What a tool returned, and what was said; nothing that it has before it."""
    back = ToolCall(id="x", name="recall", arguments={"query": "code of aaa", "n": 1})
    nothing = ToolCall(id="y", name="recall", arguments={"query": "submarines"})
    replies: list[Any] = []
    for name in "abcdefgh":
        replies += [ToolCall(id="1", name="read", arguments={"name": name}), f"Read {name}."]
    llm = ScriptedChatModel([*replies, back, nothing, "It is aaa."], target_ctx=900)
    agent = Agent(llm, tools=[read], system="You read.")
    for name in "abcdefgh":
        agent.run(f"Read {name}.")
    result = agent.run("What is the code of a?")
    first, second = (event for event in result.events if isinstance(event, ToolResult))
    assert first.text.startswith("[turn 1, read] The note a says that aaa is the code.")
    assert second.text == NOTHING
    assert not any(isinstance(event, Recalled) for event in result.events)
    # What the tool returned is a copy, and not found beside the original.
    found = agent.archive.find(agent.transcript, "code of aaa", 9)
    assert [p.source for p in found if "aaa is the code" in p.text] == ["read"]


def test_a_tool_of_ones_own_called_recall_is_used():
    """The built-in one makes way."""

    @tool
    def recall(query: str) -> str:
        """Search my own memory."""
        return "mine"

    call = ToolCall(id="x", name="recall", arguments={"query": "a"})
    agent = Agent(ScriptedChatModel([call, "Mine."]), tools=[recall])
    assert [e.text for e in agent.run("Go.").events if isinstance(e, ToolResult)] == ["mine"]


# On a real model

# So small a model says again what it said in the turns before: nothing, here.
OK: Any = {"response_schema": {"const": "OK"}, "max_tokens": 8}


@thorough
def test_twenty_facts_outlive_compaction_and_reload(tmp_path: Path):
    """18 of 20 at least are known; a tenth more is prefilled at most."""
    rng = random.Random(0)
    prose = " ".join(" ".join(topics[name].split()) for name in ("exceptions", "types"))
    rooms = {room: f"{rng.randrange(10_000, 100_000)}" for room in rng.sample(range(1, 99), 20)}
    told = [f"The code of room {room} is {code}." for room, code in rooms.items()]
    told += [prose[at : at + 300] for at in range(0, 12_000, 300)]
    old = policies.chain(policies.clamp_results, policies.when_full(policies.drop_oldest))
    prefilled, known = {}, {}
    for name, policy in {"old": old, "archive": None}.items():
        with (
            LongContextLLM(TINY, 1024, reserve_output=24, n_threads=1) as llm,
            ConversationStore(tmp_path / "chats.sqlite") as store,
        ):
            agent = store.open(name, llm, policy=policy)
            telling = sum(agent.run(t, **OK).usage.prefilled_tokens for t in told)
            assert len(agent.context.compacted) > 4
            # Of the old policy only what asking costs is of interest.
            answer = {"archive": 20, "old": 1}[name]
            known[name], answering = _known(agent, rooms, answer)
            prefilled[name] = telling + answering
    assert known["archive"] >= 18
    assert prefilled["archive"] <= 1.1 * prefilled["old"]
    with (
        LongContextLLM(TINY, 1024, reserve_output=24, n_threads=1) as llm,
        ConversationStore(tmp_path / "chats.sqlite") as store,
    ):
        assert _known(store.open("archive", llm), rooms, 20)[0] >= 18


def _known(agent: Agent, rooms: dict[int, str], max_tokens: int) -> tuple[int, int]:
    """How many codes the model says, and the tokens prefilled for it; of copies, for a model so
    small repeats what it said to the question before."""
    known = prefilled = 0
    for room, code in rooms.items():
        copy = Agent(agent.llm, policy=agent.policy)
        copy.take_up(SavedAgent.of(agent.conversation), "a copy")
        result = copy.run(f"What is the code of room {room}?", max_tokens=max_tokens)
        known += code in result.text
        prefilled += result.usage.prefilled_tokens
    return known, prefilled


# A process that is killed

CHILD = """
import sys
from longctx.agents import ConversationStore
from longctx.search.passages import passages_of
from longctx.testing import ScriptedChatModel

llm = ScriptedChatModel(["Yes."] * 999, target_ctx=500)
with ConversationStore(sys.argv[1]) as store:
    agent = store.open("anna", llm)
    for i in range(999):
        agent.run(f"The code of room r{i}r is {i * 7919}. " + "word " * 30)
        print(i, flush=True)
        agent.run(f"What is the code of room r{i // 2}r?")
"""


@pytest.mark.parametrize("after", [3, 40])
def test_a_killed_process_finds_it_all(tmp_path: Path, after: int):
    """SIGKILL at any moment, in a look-up too: what was on disk is found, in the next process."""
    path = tmp_path / "chats.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < after:
        pass
    time.sleep(random.random() / 50)
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    child.stdout.close()
    with ConversationStore(path) as store:
        agent = store.open("anna", ScriptedChatModel(["Yes."] * 99, target_ctx=500))
        shown = [m.content for m in agent.shown]
        for place, message in enumerate(agent.transcript):
            if message.role == "user" and message.content.startswith("The"):
                room = message.content.split()[4]
                found = agent.archive.find(agent.transcript, f"code of {room}", 2, shown=shown)
                seen = [*(passage.text for passage in found), *shown]
                assert any(message.content.strip() in text for text in seen), place
        agent.run("What is the code of room r0r?")
        assert any("room r0r is 0." in message.content for message in agent.shown)


def test_a_deleted_conversation_leaves_no_word(tmp_path: Path):
    """Neither in the tables nor in the index of words."""
    path = tmp_path / "chats.sqlite"
    with ConversationStore(path) as store:
        agent = store.open("anna", ScriptedChatModel(["Yes."] * 99, target_ctx=500))
        for text in [
            "My password is xyzzy.",
            *[f"{i} {FILLER}" for i in range(20)],
            "My password?",
        ]:
            agent.run(text)
        assert "xyzzy" in agent.shown[-2].content
        store.delete("anna")
        again = store.open("anna", ScriptedChatModel([]))
        assert again.archive.find(agent.transcript[:0], "xyzzy", 9) == []
        assert again.archive.find([Message(role="user", content="Hi")], "xyzzy password", 9) == []
