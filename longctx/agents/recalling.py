"""What left the window is listed in a line each, and put beside the user's words when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from longctx.agents.archive import Passage, is_told, turns_of
from longctx.agents.background import background_of, own_words
from longctx.agents.clipping import clip
from longctx.agents.events import Recalled
from longctx.agents.names import RECALL
from longctx.agents.view import View
from longctx.search.words import QUESTION_MARKS, SENTENCE_ENDS, n_words, words_of
from longctx.types import Message

NOTE_SHARE, LOOK_UP_SHARE = 1 / 16, 1 / 8
"""Of the room: for the lines about what left the window, which come out of the goal, and for what
is put beside the words of one turn."""
LINE_CHARACTERS = 60
LOOK_UP_TOKENS = 160
"""And no more than so many, in a window of any size."""
MIN_FIT, MIN_SIMILARITY = 0.55, 0.4
"""A passage is put there unasked if it has so much of what the user's words ask about."""
NEAR_BEST = 0.8
SAME = 0.8
"""Of the words of the shorter: "The code of room 7 is 4." and "The code of room 7 is now 5."."""
LOOKED_AT, PASSAGES = 12, 3
SHORT_WORDS = 20
"""Who says more tells or pastes something, and asks in a sentence of it."""
# The point in 3.5 ends no sentence. What ends one is looked for, and not the sentence: that would
# take the square of the time where there is none.
_SENTENCE_END = re.compile(rf"(?<=[{SENTENCE_ENDS}])(?<!\.(?=\w))|\n")


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
    words = view.messages[-1].content
    found = _block(view, _asked_about(view, words))
    if found is None:
        return view
    text, turns = found
    after = view.with_text(len(view.shown) - 1, f"{text}\n\n{words}", "recalled")
    if after.tokens > view.room_tokens and _least(after) > view.room_tokens:
        return view
    return after.noting(Recalled(turns=turns, text=text, tokens=after.tokens - view.tokens))


def _asked_about(view: View, words: str) -> list[Passage]:
    """Passages that are near enough to be told unasked, the best first."""
    assert view.archive is not None
    query = _query(own_words(words))
    asked = set(words_of(query))
    # Without the newest message, or the words that it asks with would be known ones.
    said, shown = view.transcript[: view.shown[-1].index], [m.content for m in view.messages]
    # A question is one also where something stands behind it.
    told = [
        set(words_of(text))
        for m in view.messages[:-1]
        for text in (own_words(m.content), background_of(m.content))
        if text and is_told(m.role, text)
    ]
    found: list[Passage] = []
    best_first = view.archive.find(said, query, LOOKED_AT, shown=shown)
    for passage in best_first:
        words_told = set(words_of(passage.text))
        is_question = asked.issuperset(words_told)  # the same one, asked before
        if not is_question and not any(_is_version(words_told, other, asked) for other in told):
            found.append(passage)
            told.append(words_told)
    found = found[:PASSAGES]
    least = max([MIN_FIT, *(NEAR_BEST * passage.fit for passage in found)])
    return [p for p in found if p.fit >= least or p.similarity >= MIN_SIMILARITY]


def _is_version(words: set[str], newer: set[str], asked: set[str]) -> bool:
    """Whether a newer text says the same of the same, most likely with another value: a small
    model that reads both takes either."""
    same = len(words & newer) >= SAME * min(len(words), len(newer))
    return same and words & asked <= newer


def _query(words: str) -> str:
    """What may be asked about: all of a few words, the questions of many."""
    if n_words(words) <= SHORT_WORDS:
        return words
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(words))
    return " ".join(one for one in sentences if one.endswith(tuple(QUESTION_MARKS)))


def _block(view: View, found: list[Passage]) -> tuple[str, tuple[int, ...]] | None:
    """As many as there is room for, in the order of their turns; of one that is long, a part."""
    limit = min(LOOK_UP_TOKENS, int(LOOK_UP_SHARE * view.room_tokens))
    for n in range(len(found), 0, -1):
        kept = sorted(found[:n], key=lambda passage: passage.turn)
        text = _tagged(*map(str, kept))
        if view.count(text) <= limit:
            return text, tuple(passage.turn for passage in kept)
    room = limit - view.count(_tagged())
    if not found or room <= 0:
        return None
    best = str(found[0])
    return _tagged(clip(best, room, view.count, str) or best), (found[0].turn,)


def _tagged(*lines: str) -> str:
    # Short: it is paid for in every turn that asks.
    return "\n".join(["Recalled:", *lines])


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
    head = f"No longer shown{f'; {RECALL}(query) finds it' if view.can_recall else ''}:"
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
        words = " ".join(own_words(gone[0].content).split())
        return f": {words if len(words) <= LINE_CHARACTERS else words[: LINE_CHARACTERS - 1] + '…'}"
    names = dict.fromkeys(call.name for message in gone for call in message.tool_calls)
    return f", earlier steps: {', '.join(names)}"
