"""A conversation: all that was said, what of it is shown, and how much of it is finished."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from longctx.agents.events import Compacted
from longctx.agents.view import Shown, Transcript
from longctx.types import Message, ToolCall

INTERRUPTED = (
    "Error: the program ended before this call returned, so it is not known what it did. "
    "Call it again only if that does no harm."
)


@dataclass(frozen=True)
class Conversation:
    """The state of an agent; every change makes another one.

    Attributes:
        transcript: everything, oldest first.
        shown: what of it the model is shown.
        pinned: places of user messages whose turn is never dropped.
        finished: messages of runs that are done; those behind belong to one that is not.
        compacted: what policies have taken out so far.
    """

    transcript: Transcript = ()
    shown: tuple[Shown, ...] = ()
    pinned: frozenset[int] = frozenset()
    finished: int = 0
    compacted: tuple[Compacted, ...] = ()

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Conversation:
        """What was said so far, all of it shown."""
        everything = tuple(Shown(index=place) for place in range(len(messages)))
        return cls(tuple(messages), everything, finished=len(messages))

    @property
    def unfinished(self) -> Transcript:
        """Messages of a run that is not done."""
        return self.transcript[self.finished :]

    def added(self, message: Message, *, pin: bool = False) -> Conversation:
        """Say one thing more."""
        place = len(self.transcript)
        return replace(
            self,
            transcript=(*self.transcript, message),
            shown=(*self.shown, Shown(index=place)),
            pinned=self.pinned | {place} if pin else self.pinned,
        )

    def finish(self) -> Conversation:
        """The run is done."""
        return replace(self, finished=len(self.transcript))

    def without_unfinished(self) -> Conversation:
        """Forget a run that is not done."""
        return self._first(self.finished)

    def without_last_turn(self) -> Conversation:
        """Forget the last words of the user's that were answered, and all that followed them."""
        done = self.transcript[: self.finished]
        asked = [place for place, message in enumerate(done) if message.role == "user"]
        return self._first(asked[-1] if asked else self.finished)

    def _first(self, n: int) -> Conversation:
        return replace(
            self,
            transcript=self.transcript[:n],
            shown=tuple(s for s in self.shown if s.index is None or s.index < n),
            pinned=frozenset(place for place in self.pinned if place < n),
            finished=n,
        )

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Calls at the end that have no result."""
        answered = set()
        for message in reversed(self.transcript):
            if message.role != "tool":
                return tuple(c for c in message.tool_calls if c.id not in answered)
            answered.add(message.tool_call_id)
        return ()

    def with_own_ids(self, message: Message) -> Message:
        """Give calls ids that no other call has: models number theirs anew in every answer."""
        taken = {call.id for said in self.transcript for call in said.tool_calls}
        fresh = (f"call_{n}" for n in itertools.count(len(taken) + 1))
        free = (name for name in fresh if name not in taken)
        calls = tuple(call.model_copy(update={"id": next(free)}) for call in message.tool_calls)
        return message.model_copy(update={"tool_calls": calls})
