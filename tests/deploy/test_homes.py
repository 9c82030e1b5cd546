"""Conversations stay where they are known, and the work is shared all the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longctx import Message
from longctx.deploy.homes import Homes
from longctx.deploy.marks import Mark, marks_of
from longctx.server.asked import Asked

IDLE = {"a": 0.0, "b": 0.0, "c": 0.0}


def _marks(*texts: str) -> tuple[Mark, ...]:
    roles = ("system", "user", "assistant")
    turns = [Message(role=roles[min(i, 1 + (i + 1) % 2)], content=t) for i, t in enumerate(texts)]
    return marks_of(Asked(tuple(turns)))


@given(st.text(min_size=20), st.sampled_from("abc"), st.floats(0, 0.5))
def test_a_conversation_goes_where_it_was_read(text: str, home: str, taken: float) -> None:
    """Though that replica is half full, and the others idle."""
    homes = Homes()
    homes.remember(_marks("", text), home, IDLE)
    goes_on = _marks("", text, "An answer.", "More?")
    assert homes.rank(goes_on, {**IDLE, home: taken})[0] == home


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 8), min_size=1))
def test_what_nobody_knows_goes_where_there_is_least_to_do(under_way: dict[str, int]) -> None:
    """And every replica is somewhere in the order, once."""
    taken = {name: n / 8 for name, n in under_way.items()}
    ranked = Homes().rank(_marks("new"), taken)
    assert sorted(ranked) == sorted(taken)
    assert [taken[name] for name in ranked] == sorted(taken.values())


@given(st.text(min_size=1))
def test_routers_that_know_nothing_agree(text: str) -> None:
    """On where a conversation goes that all replicas have room for."""
    assert Homes().rank(_marks(text), IDLE) == Homes().rank(
        _marks(text), dict(sorted(IDLE.items()))
    )


def test_new_conversations_spread() -> None:
    """Idle replicas get each about a third of them."""
    homes = Homes()
    firsts = [homes.rank(_marks(f"conversation {i}"), IDLE)[0] for i in range(300)]
    assert all(60 < firsts.count(name) < 140 for name in IDLE)


def test_a_full_replica_is_no_home() -> None:
    """One that is idle reads it again; one that is half full need not."""
    homes = Homes()
    homes.remember(_marks("x" * 1000), "a", IDLE)
    goes_on = _marks("x" * 1000, "y")
    assert homes.rank(goes_on, {"a": 1.0, "b": 0.0})[0] == "b"
    assert homes.rank(goes_on, {"a": 1.0, "b": 0.5})[0] == "a"  # it is worth the wait


def test_a_beginning_that_all_share_spreads_as_it_is_asked_for() -> None:
    """The first reader takes so many as its head start is worth, then the next reads it, too."""
    homes, n_places = Homes(), 8
    under_way = {"a": 0, "b": 0}
    for i in range(12):
        marks = _marks("You are an assistant. " * 50, f"question {i} " * 40)
        taken = {name: n / n_places for name, n in under_way.items()}
        chosen = homes.rank(marks, taken)[0]
        homes.remember(marks, chosen, under_way)
        under_way[chosen] += 1
    assert sorted(under_way.values()) == [6, 6]


def test_many_conversations_at_once_all_find_their_caches() -> None:
    """Second turns go where the first ones went, while all of them are under way."""
    homes, n_places = Homes(), 8
    under_way = {"a": 0, "b": 0}
    went: dict[int, str] = {}

    def ask(i: int, *texts: str) -> str:
        taken = {name: n / n_places for name, n in under_way.items()}
        marks = _marks("", f"Conversation {i} begins.", *texts)
        chosen = homes.rank(marks, taken)[0]
        homes.remember(marks, chosen, under_way)
        under_way[chosen] += 1
        return chosen

    for i in range(14):
        went[i] = ask(i)
    under_way = dict.fromkeys(under_way, 0)
    assert {i: ask(i, "So it does, at some length.", "Go on.") for i in reversed(went)} == went


def test_replicas_that_are_gone_are_never_named() -> None:
    """And what they knew is read again, and remembered where it is now."""
    homes = Homes()
    marks = _marks("x" * 100)
    homes.remember(marks, "a", {"a", "b"})
    left = {"b": 0.0, "c": 0.0}
    assert "a" not in homes.rank(marks, left)
    homes.remember(marks, "c", left)
    assert homes.rank(marks, left)[0] == "c"


@given(st.lists(st.integers(0, 30), max_size=40))
def test_memory_is_bounded(conversations: list[int]) -> None:
    """The last one is always remembered."""
    homes = Homes(max_marks=10)
    for i in conversations:
        marks = _marks(f"system {i}", f"question {i}")
        homes.remember(marks, "a", IDLE)
        assert len(homes) <= 10
        assert homes.rank(marks, IDLE)[0] == "a"
