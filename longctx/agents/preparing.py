"""Room for what comes next, made while nobody waits for it: between turns, and beside tools."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from queue import SimpleQueue

from longctx.agents.cancelling import Cancellation, RunStopped
from longctx.agents.conversation import Conversation
from longctx.agents.events import Compacted
from longctx.agents.policies import Policy, name_of
from longctx.agents.side_model import SideModel, Spent
from longctx.agents.validity import check_view
from longctx.agents.view import View
from longctx.types import Message, Usage

logger = logging.getLogger("longctx")

AHEAD = 1 / 8
"""Of the room: what the next turn is expected to need at most."""


class Preparation:
    """A compaction in a thread of its own, from where a run stood when it began.

    Args:
        view: what the model was shown then.
        policy: compacts.
        spent: of the run, whose budget pays.
    """

    def __init__(self, view: View, policy: Policy, spent: Spent) -> None:
        self._cancellation = Cancellation()
        self._spent = spent
        llm = SideModel(view.llm, self._cancellation, spent)
        self._view = replace(view, llm=llm, log=(), before=())
        self._after: View | None = None
        self._done = threading.Event()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, args=(policy,), name="prepare", daemon=True
        )

    def start(self) -> None:
        """Begin; apart from making it, so that Ctrl-C never leaves one that nobody can end."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes of it."""
        return self._done.is_set()

    def wait(self, cancellation: Cancellation) -> None:
        """Until it is done.

        Raises:
            RunStopped: who waits was cancelled.
        """
        with cancellation.wakes(lambda: self._bell.put(None)):
            while not self.is_done:
                cancellation.check()
                self._bell.get()
        cancellation.check()

    def cancel(self) -> None:
        """Let it end: nobody wants it any more."""
        self._cancellation.cancel("cancelled", "nobody waits for it")

    def put_into(self, now: Conversation) -> tuple[Conversation, tuple[Compacted, ...]] | None:
        """The conversation with what was prepared, and what that was; what came since stays.

        Returns:
            None where nothing came of it, or something else was taken out meanwhile.
        """
        after, was = self._after, self._view.shown
        if after is None or now.shown[: len(was)] != was:
            return None
        log = tuple(entry for entry in after.log if isinstance(entry, Compacted))
        shown = (*after.shown, *now.shown[len(was) :])
        return replace(now, shown=shown, compacted=(*now.compacted, *log)), log

    def _work(self, policy: Policy) -> None:
        try:
            after = compact_ahead(self._view, policy)
            if after.shown != self._view.shown:
                self._spent.add(warm(after, self._cancellation))
                self._after = after
        except RunStopped:
            pass
        except Exception as error:  # the run meets it again, where it can be told
            logger.info("no room could be made beside a tool: %s", error)
        finally:
            self._done.set()
            self._bell.put(None)


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


def warm(view: View, cancellation: Cancellation) -> Usage:
    """Prefill what is shown, up to where the user's next words will stand; what it took.

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
    return stream.result.usage
