"""What left the window is listed in a line each, and put beside the user's words when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from longctx.agents.archive import turns_of
from longctx.agents.events import Recalled
from longctx.agents.names import RECALL
from longctx.agents.view import View
from longctx.search.words import words_of
from longctx.types import Message

NOTE_SHARE = 1 / 8
"""Of the room, for the lines about what left the window; they come out of the goal."""
LINE_CHARACTERS = 60
LOOK_UP_TOKENS = 160
"""Most that is put beside the words of one turn; and no more than ``NOTE_SHARE`` of the room."""
MIN_COVERAGE, MIN_SIMILARITY = 0.55, 0.5
"""A passage is put there unasked if it has so much of what the user's words ask about."""
NEAR_BEST = 0.8
LOOKED_AT, PASSAGES = 12, 3
BACKGROUND = "\n\n<background>\n"
"""What :class:`~longctx.agents.Agent` puts between the user's words and its background."""


def archive_oldest(view: View) -> View:
    """Drop the oldest turns as far as needed, and leave a line about each.

    As :func:`~longctx.agents.policies.drop_oldest`; the lines are one message behind the system
    prompt, which changes when something is dropped and not between. Where there is no room for
    all of them, the oldest become one.
    """
    units = view.units
    after = view.least(
        len(units), lambda n: _noted(view.without([i for unit in units[:n] for i in unit]))
    )
    if after.tokens <= max(view.goal_tokens, view.room_tokens):
        return after
    return view.without([
        i
        for i, shown in enumerate(view.shown)
        if shown.state == "summary" or any(i in unit for unit in units)
    ])  # fmt: skip


def look_up(view: View) -> View:
    """Put what the newest words ask about, and the window no longer has, beside them.

    Only where the model has no tools: one that has can call ``recall``. It stands in the newest
    turn, so that nothing before it leaves the cache, and goes with that turn.
    """
    if view.archive is None or view.tools or not _is_asked(view):
        return view
    newest = view.shown[-1]
    words = view.messages[-1].content
    query = words.split(BACKGROUND)[0]
    asked = set(words_of(query))
    found = [
        passage
        for passage in view.archive.find(
            view.transcript, query, LOOKED_AT, shown=[m.content for m in view.messages]
        )
        if not asked.issuperset(words_of(passage.text))  # the same question, asked before
    ][:PASSAGES]
    best = max((passage.coverage for passage in found), default=0.0)
    found = [
        passage
        for passage in found
        if passage.coverage >= max(MIN_COVERAGE, NEAR_BEST * best)
        or passage.similarity >= MIN_SIMILARITY
    ]
    limit = min(LOOK_UP_TOKENS, int(NOTE_SHARE * view.room_tokens))
    for n in range(len(found), 0, -1):
        kept = sorted(found[:n], key=lambda passage: passage.turn)
        text = "\n".join(["<recalled>", *map(str, kept), "</recalled>"])
        if view.count(text) <= limit:
            break
    else:
        return view
    after = view.with_text(len(view.shown) - 1, f"{text}\n\n{words}", "recalled")
    if after.tokens > view.room_tokens and _least(after) > view.room_tokens:
        return view
    turns = tuple(passage.turn for passage in kept)
    assert newest.index is not None  # a user's message
    return after.noting(Recalled(turns=turns, text=text, tokens=after.tokens - view.tokens))


def _is_asked(view: View) -> bool:
    """Whether the newest message is the user's, and something has left the window."""
    newest = view.shown[-1] if view.shown else None
    if newest is None or newest.state != "whole" or view.messages[-1].role != "user":
        return False
    whole = sum(shown.state in ("whole", "recalled") for shown in view.shown)
    return whole < len(view.transcript)


def _least(view: View) -> int:
    """Tokens that are left when all is dropped that may be."""
    return view.without([i for unit in view.units for i in unit]).tokens


def _noted(view: View) -> View:
    lines = list(_lines(view))
    if not lines:
        return view
    found_by = (
        f"{RECALL}(query) finds what was said there"
        if view.can_recall
        else "what the user asks about is put beside the question"
    )
    head = f"Earlier turns that are no longer shown whole; {found_by}:"
    room = int(NOTE_SHARE * view.room_tokens) - view.count(head)
    kept: list[str] = []
    for _, line in reversed(lines):
        room -= view.count(line) + 1
        if room < 0:
            break
        kept.append(line)
    if len(kept) < len(lines):
        kept.append(f"1 to {lines[-len(kept) - 1][0]}")
    return view.with_summary("\n".join(["<archive>", head, *reversed(kept), "</archive>"]), ())


def _lines(view: View) -> Iterator[tuple[int, str]]:
    """The number of each turn that is not shown whole, and what to know of it in a line."""
    shown = {one.index for one in view.shown}
    numbered = zip(turns_of(view.transcript), view.transcript, strict=True)
    places = enumerate(numbered)
    for turn, group in groupby(places, key=lambda one: one[1][0]):
        gone = [message for place, (_, message) in group if place not in shown]
        if turn and gone:
            yield turn, f"{turn}{_about(gone)}"


def _about(gone: list[Message]) -> str:
    if gone[0].role == "user":
        words = " ".join(gone[0].content.split())
        return f": {words if len(words) <= LINE_CHARACTERS else words[: LINE_CHARACTERS - 1] + '…'}"
    names = dict.fromkeys(call.name for message in gone for call in message.tool_calls)
    return f", earlier steps: {', '.join(names)}"
