"""Places of replicas, without Ray."""

from __future__ import annotations

from longctx.deploy.places import Places


class _Waiting:
    """What a request waits in until it is sent."""


def test_a_place_is_taken_when_it_is_given() -> None:
    """And free when its answer is over, once, whatever is said of it later."""
    places, waiting = Places(), [_Waiting() for _ in range(3)]
    for i, each in enumerate(waiting):
        places.give(f"r{i}", "a" if i else "b", each)
    assert places.taken() == {"a": 2, "b": 1}
    places.routed("r1")
    places.give_back("r1")
    places.routed("r1")
    places.give_back("r1")
    assert places.taken() == {"a": 1, "b": 1}
    places.give("r2", "b", waiting[2])
    assert places.taken() == {"b": 2}


def test_who_waits_no_more_holds_no_place() -> None:
    """But one whose answer is under way does, though nothing else knows of it."""
    places = Places()
    waiting = [_Waiting(), _Waiting()]
    for i, each in enumerate(waiting):
        places.give(f"r{i}", "a", each)
    del each
    places.routed("r0")
    waiting.clear()
    assert places.taken() == {"a": 1}
    places.give_back("r0")
    assert places.taken() == {}
