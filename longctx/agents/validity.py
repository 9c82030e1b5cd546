"""What a policy may not break."""

from __future__ import annotations

from itertools import pairwise

from longctx.agents.view import Shown, View
from longctx.errors import TemplateError
from longctx.types import Message


def check_view(before: View, after: View, policy: str) -> None:
    """Hold what a policy made to what every model needs.

    Raises:
        TemplateError: the transcript was changed; a system message, a pinned one or the user's
            newest is missing or not in full; a call has no result or a result no call; the
            first message behind the system's is not the user's; or the order is another.
    """
    problem = _problem(before, after)
    if problem:
        raise TemplateError(
            f"the policy {policy} {problem}; let it change views by their own methods "
            "(without, with_text, with_summary) on the positions of units and results"
        )


def _problem(before: View, after: View) -> str | None:
    if after.transcript != before.transcript:
        return "changed the transcript"
    places = [shown.index for shown in after.shown if shown.index is not None]
    if any(a >= b for a, b in pairwise(places)):
        return "changed the order of messages, or shows one twice"
    whole = {shown.index for shown in after.shown if _is_in_full(after, shown)}
    for place in _must_stay(before):
        if place not in whole:
            role = before.transcript[place].role
            return f"took out message {place} ({role}), which must stay as it is"
    behind_system = [message for message in after.messages if message.role != "system"]
    if behind_system and behind_system[0].role != "user":
        return f"lets the conversation begin with {behind_system[0].role}, not with the user"
    return _pairing(after.messages)


def _is_in_full(view: View, shown: Shown) -> bool:
    if shown.state == "recalled" and shown.index is not None:
        return view.transcript[shown.index].content in (shown.content or "")
    return shown.content is None


def _must_stay(view: View) -> list[int]:
    """Places of the system's messages, the pinned ones and the user's newest."""
    places = [i for i, message in enumerate(view.transcript) if message.role == "system"]
    places += sorted(view.pinned)
    users = [i for i, message in enumerate(view.transcript) if message.role == "user"]
    return places + users[-1:]


def _pairing(messages: tuple[Message, ...]) -> str | None:
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return f"left the result of {message.tool_call_id} without its call"
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            return f"left {', '.join(sorted(open_calls))} without a result"
        open_calls = {call.id for call in message.tool_calls}
    return f"left {', '.join(sorted(open_calls))} without a result" if open_calls else None
