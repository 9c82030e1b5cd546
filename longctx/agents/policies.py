"""Policies: what of a conversation the model is shown when not all of it fits.

A policy is a function from a :class:`View` to a view. It changes nothing: the agent keeps the
whole transcript, and what a policy took out of a tool result can be read back by the model.
Parameters go in with :func:`functools.partial`; :func:`chain` and :func:`when_full` put
policies together. One of your own::

    def forget_searches(view: View) -> View:
        "Clear what old searches found, as far as needed."
        old = [i for i in view.results if view.messages[i].name == "search"]

        def cleared(n: int) -> View:
            after = view
            for position in old[:n]:
                after = after.with_text(position, "[an old search]", "cleared")
            return after

        return view.least(len(old), cleared)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TypeAlias

from longctx.agents.clipping import clip
from longctx.agents.names import READ_RESULT
from longctx.agents.recalling import archive_oldest, look_up
from longctx.agents.summary import summarise_oldest
from longctx.agents.view import Shown, State, Transcript, View
from longctx.arguments import real

__all__ = [
    "Policy",
    "Shown",
    "Transcript",
    "View",
    "archive",
    "archive_oldest",
    "chain",
    "clamp_results",
    "clear_results",
    "default",
    "drop_oldest",
    "drop_superseded",
    "keep_everything",
    "look_up",
    "summarise_oldest",
    "summarising",
    "when_full",
]

Policy: TypeAlias = Callable[[View], View]

SUPERSEDED = "[the same call was made again later]"


def keep_everything(view: View) -> View:
    """Show the whole transcript.

    The window grows up to ``target_ctx``; what does not fit there raises
    :class:`longctx.ContextOverflowError`, and nothing is dropped.
    """
    return view


def clamp_results(view: View, *, max_share: float = 0.25) -> View:
    """Show head and tail of a tool result that is longer than a share of ``target_ctx``.

    This does not wait until the window is full: a result that has been whole in the cache would
    cost a prefill of what follows it.
    """
    limit = int(max_share * view.llm.target_ctx)
    for position, (message, shown) in enumerate(zip(view.messages, view.shown, strict=True)):
        if message.role == "tool" and shown.state == "whole":
            text = clip(message.content, limit, view.count, partial(_where, view, position))
            if text is not None:
                view = view.with_text(position, text, "clamped")
    return view


def drop_superseded(view: View) -> View:
    """Clear results of calls that were made again later, with the same arguments."""
    if not view.is_over:
        return view
    latest: set[tuple[str, str]] = set()
    old: list[int] = []
    for position in reversed(range(len(view.shown))):
        message = view.messages[position]
        if message.role == "tool":
            call = view.calls[message.tool_call_id or ""]
            key = call.name, json.dumps(call.arguments, sort_keys=True)
            if key in latest and len(SUPERSEDED) < len(message.content):
                old.append(position)
            latest.add(key)
    return _replace_results(view, sorted(old), lambda _: SUPERSEDED, "superseded")


def clear_results(view: View, *, keep: int = 3) -> View:
    """Clear the oldest tool results as far as needed, but never the last ``keep``."""
    if not view.is_over:
        return view
    old = [i for i in view.results if view.shown[i].state in ("whole", "clamped")]
    old = old[: max(0, len(old) - keep)]

    def marker(position: int) -> str:
        whole = view.transcript[view.shown[position].index or 0].content
        return f"[{len(whole):,} characters cleared{_where(view, position)}]"

    useful = [i for i in old if len(marker(i)) < len(view.messages[i].content)]
    return view.least(len(useful), lambda n: _replace_results(view, useful[:n], marker, "cleared"))


def drop_oldest(view: View) -> View:
    """Drop the oldest turns as far as needed, then the oldest steps of pinned and newest turns."""
    units = view.units
    return view.least(len(units), lambda n: view.without([i for unit in units[:n] for i in unit]))


def chain(*policies: Policy) -> Policy:
    """Apply policies one after the other."""

    def chained(view: View) -> View:
        return reduce(lambda view, policy: policy(view), policies, view)

    return chained


def when_full(*policies: Policy, trigger: float = 1.0, goal: float = 0.6) -> Policy:
    """Apply policies one after the other when the window is full, until the goal is reached.

    Between the two levels nothing happens, so that a compaction, which costs a prefill of what
    it leaves, comes rarely and not every turn.

    Args:
        policies: from what is missed least to what is missed most.
        trigger: share of the room (``target_ctx`` less the answer's) at which it begins.
        goal: share of the room that it reduces the prompt to.

    Raises:
        RequestError: not 0 < goal <= trigger <= 1.
    """
    trigger = real("trigger", trigger, above=0, most=1)
    goal = real("goal", goal, above=0, most=trigger)

    def compacted(view: View) -> View:
        if view.tokens <= trigger * view.room_tokens:
            return view
        goal_before = view.goal_tokens
        view = view.aiming(int(goal * view.room_tokens), before=view.shown)
        for policy in policies:
            if not view.is_over:
                break
            view = _logged(policy, view)
        return view.aiming(goal_before)

    return compacted


def default() -> Policy:
    """The policy of an agent that names none: :func:`archive`."""
    return archive()


def archive() -> Policy:
    """What leaves the window is found again.

    Oversized results are clamped on arrival. When the window is full, superseded results go,
    then old ones but the last three, then the oldest turns, down to 55 % of the room; a line
    about each stays. The model finds what it needs of them with ``recall``, or, where it has no
    tools, what the user's words ask about is put beside them.
    """
    # A little deeper than where what goes is lost: passages fill the window sooner.
    make_room = when_full(drop_superseded, clear_results, archive_oldest, goal=0.55)
    return chain(clamp_results, make_room, look_up, make_room)


def summarising() -> Policy:
    """As :func:`archive`, but the model sums up the oldest turns, and none is found again.

    Small models sum up badly: try it with yours before you rely on it.
    """
    stages = (drop_superseded, clear_results, summarise_oldest, drop_oldest)
    return chain(clamp_results, when_full(*stages))


def name_of(policy: Policy) -> str:
    """What a policy is called in events and messages."""
    while isinstance(policy, partial):
        policy = policy.func
    return getattr(policy, "__name__", type(policy).__name__)


def difference(before: View, after: View) -> str:
    """Say what a policy took out."""
    held = {shown.index: shown.state for shown in before.shown}
    kept = {shown.index: shown.state for shown in after.shown}
    parts: list[str] = []
    gone = len(held.keys() - kept.keys())
    if gone:
        parts.append(f"{gone} messages no longer shown")
    for state in ("clamped", "superseded", "cleared"):
        n = sum(s == state and held.get(i) not in (s, None) for i, s in kept.items())
        if n:
            parts.append(f"{n} results {state}")
    return ", ".join(parts)


def _logged(policy: Policy, view: View) -> View:
    after = policy(view)
    if after.shown == view.shown or after.log != view.log:
        return after
    return after.logged(name_of(policy), view.tokens, difference(view, after))


def _replace_results(
    view: View, positions: Sequence[int], text: Callable[[int], str], state: State
) -> View:
    for position in positions:
        if view.shown[position].state not in (state, "superseded", "cleared"):
            view = view.with_text(position, text(position), state)
    return view


def _where(view: View, position: int) -> str:
    if not view.can_read_back:
        return ""
    return f'; {READ_RESULT}("{view.messages[position].tool_call_id}") shows them'
