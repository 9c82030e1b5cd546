"""Room for the next turn, made while nobody waits for it."""

from __future__ import annotations

from dataclasses import replace

from longctx.agents.cancelling import Cancellation
from longctx.agents.policies import Policy, name_of
from longctx.agents.validity import check_view
from longctx.agents.view import View
from longctx.types import Message

AHEAD = 1 / 8
"""Of the room: what the next turn is expected to need at most."""


def compact_ahead(view: View, policy: Policy) -> View:
    """What the policy would show if the next turn were there already.

    Raises:
        TemplateError: the policy broke the conversation.
    """
    room = view.room_tokens - int(AHEAD * view.room_tokens)
    after = policy(replace(view, room_tokens=room, goal_tokens=room))
    if after.shown != view.shown:
        check_view(view, after, name_of(policy))
    return after


def warm(view: View, cancellation: Cancellation) -> None:
    """Prefill what is shown, up to where the user's next words will stand.

    Raises:
        RunStopped: it was cancelled.
    """
    cancellation.check()
    stream = view.llm.stream_chat(
        # Many templates refuse to ask the model to follow itself; the next turn shares all but it.
        [*view.messages, Message(role="user")],
        tools=view.tools or None,
        tool_choice="none",
        max_tokens=1,
    )
    with stream, cancellation.wakes(stream.close):
        for _ in stream:
            pass
    cancellation.check()
