"""Prompts of all protocols are compared as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx import Message
from longctx.deploy.marks import PIECE, marks_of
from longctx.deploy.place import Place, place_of
from longctx.server.asked import Asked

TEXTS = st.lists(st.text(max_size=3 * PIECE), min_size=1, max_size=6)


def _turns(texts: list[str]) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    return tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))


def _digests(texts: list[str]) -> list[bytes]:
    return [mark.digest for mark in marks_of(Asked(_turns(texts)))]


@given(TEXTS, TEXTS)
def test_a_conversation_that_goes_on_has_all_its_marks(texts: list[str], more: list[str]) -> None:
    """In their order, and then those of what was added; no two are the same."""
    before, after = _digests(texts), _digests(texts + more)
    assert after[: len(before)] == before
    assert len(set(after)) == len(after)


@given(TEXTS, TEXTS)
def test_two_prompts_share_marks_as_far_as_they_are_the_same(a: list[str], b: list[str]) -> None:
    """And none behind the first difference."""
    ours, theirs = _digests(a), _digests(b)
    n_same = next((i for i, (x, y) in enumerate(zip(ours, theirs, strict=False)) if x != y), None)
    if n_same is not None:
        assert not set(ours[n_same:]) & set(theirs[n_same:])


def test_where_a_turn_ends_matters() -> None:
    """The same characters in other turns, or of another role, are another prompt."""
    assert _digests(["ab"])[-1] != _digests(["a", "b"])[-1]
    said = [Message(role="system", content="a")], [Message(role="user", content="a")]
    assert len({marks_of(Asked(tuple(each)))[-1].digest for each in said}) == 2


def test_who_has_read_a_question_knows_its_answer() -> None:
    """The answer was written there, however long it is."""
    marks = marks_of(Asked(_turns(["q" * 10, "a" * 2000, "r" * 10])))
    assert marks[0].n_chars == 2010
    assert marks[-1].n_chars == 2020


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
TURNS = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Rhine."},
    {"role": "user", "content": "Where does it end?"},
]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
SAME: list[list[tuple[str, dict[str, Any]]]] = [
    [
        (CHAT, {"messages": TURNS}),
        (MESSAGES, {"messages": TURNS, "max_tokens": 9}),
        (f"{MESSAGES}/count_tokens", {"messages": TURNS}),
        (RESPONSES, {"input": TURNS}),
        (f"{RESPONSES}/input_tokens", {"input": TURNS}),
    ],
    [
        (CHAT, {"messages": [{"role": "system", "content": "Be brief."}, *TURNS]}),
        (CHAT, {"messages": [{"role": "developer", "content": "Be brief."}, *TURNS]}),
        (MESSAGES, {"system": "Be brief.", "messages": TURNS, "max_tokens": 9}),
        (RESPONSES, {"instructions": "Be brief.", "input": TURNS}),
    ],
    [
        (CHAT, {"messages": TURNS[:1], "temperature": 1.0, "stream": True}),
        (RESPONSES, {"input": "Name a river."}),
        (
            MESSAGES,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Name a river."}]}
                ],
                "max_tokens": 9,
            },
        ),
    ],
    [
        (
            CHAT,
            {
                "messages": TURNS,
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}
                ],
            },
        ),
        (
            RESPONSES,
            {
                "input": TURNS,
                "tools": [{"type": "function", "name": "f", "parameters": PARAMETERS}],
            },
        ),
        (
            MESSAGES,
            {
                "messages": TURNS,
                "max_tokens": 9,
                "tools": [{"name": "f", "input_schema": PARAMETERS}],
            },
        ),
    ],
]


@pytest.mark.parametrize("same", SAME, ids=["plain", "system", "one turn", "tools"])
def test_every_protocol_comes_to_the_same_marks(same: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever it is asked in, and however it is sampled."""
    places = {place_of(path, json.dumps(body).encode()) for path, body in same}
    assert len(places) == 1
    assert places.pop().marks


def test_the_conversations_of_the_table_are_different_ones() -> None:
    """So that what is the same above is not so for nothing."""
    lasts = {place_of(p, json.dumps(b).encode()).marks[-1] for (p, b), *_ in SAME}
    assert len(lasts) == len(SAME)


@pytest.mark.parametrize(
    ("path", "body", "instance"),
    [
        (RESPONSES, {"input": "x", "previous_response_id": "resp_abc_12"}, "abc"),
        (RESPONSES, {"input": "x", "previous_response_id": "resp_12"}, ""),
        (f"{RESPONSES}/input_tokens", {"input": "x", "previous_response_id": "resp_abc_1"}, "abc"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_abc_12"}]}, "abc"),
        (f"{RESPONSES}/resp_abc_12", {}, "abc"),
        (f"{RESPONSES}/resp_abc_12/input_items", {}, "abc"),
        (f"{RESPONSES}/resp_12", {}, ""),
        (CHAT, {"messages": TURNS}, ""),
    ],
)
def test_what_is_kept_names_its_server(path: str, body: dict[str, Any], instance: str) -> None:
    """By the id that is asked for, in the path or the body."""
    assert place_of(path, json.dumps(body).encode()).instance == instance


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, b"{"),
        (CHAT, b""),
        (CHAT, b"\xff"),
        (CHAT, b'{"messages": 1}'),
        (CHAT, b"[" * 100_000),
        (RESPONSES, b'{"input": [{"type": "function_call", "call_id": "1", "name": 1, '
        b'"arguments": "["}]}'),
        ("/v1/models", b""),
        ("/nowhere", b""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_may_go_anywhere(path: str, body: bytes) -> None:
    """Any server says what is wrong with it."""
    assert place_of(path, body) == Place()
