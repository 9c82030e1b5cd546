"""A view of a conversation: what the model is shown of it, immutable and exactly counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from longctx.agents.archive import Archive
from longctx.agents.events import Compacted, Recalled
from longctx.agents.names import READ_RESULT, RECALL
from longctx.prompt import Prompt, prompt_of
from longctx.protocols import ChatModel
from longctx.recent import Recent
from longctx.types import Frozen, Message, Role, ToolCall, ToolSchema

State: TypeAlias = Literal["whole", "clamped", "superseded", "cleared", "summary", "recalled"]
Transcript: TypeAlias = tuple[Message, ...]
"""System message (if any) first, then turns, oldest first; nothing is ever taken out of it."""

UNDERSTOOD = "I have read it."
"""What the model says to a summary or a list: many templates refuse two user messages in a row."""
COUNTED_CHARACTERS = 4_000_000
"""Of texts whose counts an agent keeps: each step asks about the same results again."""

Counts: TypeAlias = Recent[str, int]

# What follows from the messages that are shown, whatever the goal is.
_OF_THE_SHOWN = frozenset({"messages", "prompt", "turns", "units", "results", "calls"})


def new_counts() -> Counts:
    """Counts of texts, none yet."""
    return Recent(COUNTED_CHARACTERS, lambda text, _tokens: len(text))


class Shown(Frozen):
    """One message as the model is shown it.

    ``index`` is its place in the transcript, None for a summary (or a list of what was dropped) and
    its acknowledgement, whose ``role`` is given. ``recalled`` is a user's message with passages of
    earlier turns before its words. ``content`` is the text shown instead of the transcript's
    (None: as it is).
    """

    index: int | None = None
    state: State = "whole"
    content: str | None = None
    role: Role | None = None


@dataclass(frozen=True)
class View:
    """What the model is shown of a transcript, and how much room there is.

    A policy takes a view and returns another; positions count from the first message shown.

    Attributes:
        transcript: the whole conversation.
        shown: what of it the model is shown, in order.
        llm: counts exactly, and may be asked for a summary: its ``chat`` ends when the run does.
        tools: schemas, which stand in every prompt.
        room_tokens: what a prompt may take: ``target_ctx`` less the room for the answer.
        goal_tokens: what a policy that makes room reduces the prompt to.
        pinned: places in the transcript of user messages whose turn is never dropped.
        before: what was shown when compaction began, and stands in the KV cache.
        log: what policies have done so far.
        counts: of texts, kept from view to view.
        archive: finds what is no longer shown; None where nothing can be looked up.
    """

    transcript: Transcript
    shown: tuple[Shown, ...]
    llm: ChatModel
    room_tokens: int
    goal_tokens: int
    tools: tuple[ToolSchema, ...] = ()
    pinned: frozenset[int] = frozenset()
    before: tuple[Shown, ...] = ()
    log: tuple[Compacted | Recalled, ...] = field(default=(), compare=False)
    counts: Counts = field(default_factory=new_counts, compare=False, repr=False)
    archive: Archive | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        transcript: Transcript,
        llm: ChatModel,
        *,
        shown: Sequence[Shown] | None = None,
        tools: Sequence[ToolSchema] = (),
        pinned: Collection[int] = (),
        reserve_tokens: int | None = None,
        counts: Counts | None = None,
        archive: Archive | None = None,
    ) -> View:
        """View a transcript.

        Args:
            transcript: the whole conversation.
            llm: counts, and answers.
            shown: what the model is shown of it; None is all.
            tools: schemas, which stand in every prompt.
            pinned: places of user messages whose turn is never dropped.
            reserve_tokens: room for the answer; None is the model's ``reserve_output``.
            counts: those that are known already.
            archive: finds what is no longer shown.
        """
        reserve = llm.reserve_output if reserve_tokens is None else reserve_tokens
        room = max(0, llm.target_ctx - reserve)
        if shown is None:
            shown = [Shown(index=i) for i in range(len(transcript))]
        return cls(
            transcript,
            tuple(shown),
            llm,
            room,
            room,
            tuple(tools),
            frozenset(pinned),
            counts=new_counts() if counts is None else counts,
            archive=archive,
        )

    # What there is

    @cached_property
    def messages(self) -> Transcript:
        """The messages that the model is shown."""
        return as_shown(self.transcript, self.shown)

    @cached_property
    def prompt(self) -> Prompt:
        """The messages and tools, counted once; the model is asked with it."""
        return prompt_of(self.llm, self.messages, self.tools or None)

    @property
    def tokens(self) -> int:
        """Exactly what they prefill with an empty cache: template and tools included."""
        return self.prompt.n_tokens

    def count(self, text: str) -> int:
        """Tokens of a text; one that was asked about before is not counted again."""
        tokens = self.counts.get(text)
        if tokens is None:
            tokens = self.llm.count(text)
            self.counts.put(text, tokens)
        return tokens

    @property
    def is_over(self) -> bool:
        """Whether there is still something to take out."""
        return self.tokens > self.goal_tokens

    @property
    def can_read_back(self) -> bool:
        """Whether the model can ask for what was taken out of a result."""
        return self._has(READ_RESULT)

    @property
    def can_recall(self) -> bool:
        """Whether the model can look for what is no longer shown."""
        return self._has(RECALL)

    @cached_property
    def turns(self) -> tuple[range, ...]:
        """Positions of each turn: a user's message and what followed, oldest first."""
        starts = [
            position
            for position, shown in enumerate(self.shown)
            if shown.state != "summary" and self.messages[position].role == "user"
        ]
        ends = [*starts[1:], len(self.shown)]
        return tuple(range(*turn) for turn in zip(starts, ends, strict=False))

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """Positions that can go together, oldest first.

        Whole turns; of pinned turns and the newest, each step (calls with their results), but
        not the newest step of all, which the model is about to read.
        """
        units: list[tuple[int, ...]] = []
        for turn in self.turns:
            if turn is self.turns[-1] or self.shown[turn[0]].index in self.pinned:
                steps = [self._step(i) for i in turn if self.messages[i].tool_calls]
                units += [step for step in steps if step[-1] != len(self.shown) - 1]
            else:
                units.append(tuple(turn))
        return tuple(units)

    @cached_property
    def results(self) -> tuple[int, ...]:
        """Positions of tool results that the model has read, oldest first."""
        newest = next(
            (i for i in reversed(range(len(self.shown))) if self.messages[i].tool_calls), 0
        )
        fresh = self._step(newest) if self.shown else ()
        is_fresh = bool(fresh) and fresh[-1] == len(self.shown) - 1
        return tuple(
            position
            for position, message in enumerate(self.messages)
            if message.role == "tool" and not (is_fresh and position in fresh)
        )

    @cached_property
    def calls(self) -> dict[str, ToolCall]:
        """The calls that are shown, by id."""
        return {call.id: call for message in self.messages for call in message.tool_calls}

    # What a policy does

    def aiming(self, goal_tokens: int, *, before: tuple[Shown, ...] = ()) -> View:
        """Make room down to another goal; ``before`` is what stands in the KV cache."""
        return self._with(goal_tokens=goal_tokens, before=before)

    def without(self, positions: Collection[int]) -> View:
        """Drop messages."""
        gone = frozenset(positions)
        return self._showing(tuple(s for i, s in enumerate(self.shown) if i not in gone))

    def with_text(self, position: int, text: str, state: State) -> View:
        """Show another text in place of a message's."""
        changed = self.shown[position].model_copy(update={"content": text, "state": state})
        return self._showing((*self.shown[:position], changed, *self.shown[position + 1 :]))

    def with_summary(self, text: str, positions: Collection[int]) -> View:
        """Drop messages, and an older summary or list, for one behind the system prompt."""
        gone = {i for i, shown in enumerate(self.shown) if shown.state == "summary"}
        rest = self.without(gone | set(positions)).shown
        summary = (
            Shown(state="summary", role="user", content=text),
            Shown(state="summary", role="assistant", content=UNDERSTOOD),
        )
        head = sum(1 for _ in takewhile(lambda m: m.role == "system", self.messages))
        return self._showing((*rest[:head], *summary, *rest[head:]))

    def least(self, n_edits: int, edited: Callable[[int], View]) -> View:
        """Make as few edits as reach the goal, or all of them.

        Args:
            n_edits: how many can be made.
            edited: the view after the first n of them; the more, the fewer tokens.
        """
        if not self.is_over or not n_edits:
            return self
        low, high = 0, n_edits
        best = edited(high)
        if best.is_over:
            return best
        while high - low > 1:
            middle = (low + high) // 2
            candidate = edited(middle)
            if candidate.is_over:
                low = middle
            else:
                high, best = middle, candidate
        return best

    def logged(self, policy: str, tokens_before: int, detail: str) -> View:
        """Note what a policy did, for the event :class:`Compacted`."""
        entry = Compacted(
            policy=policy, tokens_before=tokens_before, tokens_after=self.tokens, detail=detail
        )
        return self.noting(entry)

    def noting(self, entry: Compacted | Recalled) -> View:
        """Note what is to be told as an event."""
        return self._with(log=(*self.log, entry))

    # Inside

    def _has(self, name: str) -> bool:
        return any(tool["function"]["name"] == name for tool in self.tools)

    def _showing(self, shown: tuple[Shown, ...]) -> View:
        return self if shown == self.shown else replace(self, shown=shown)

    def _with(self, **changes: Any) -> View:
        """The same messages otherwise seen; what is known of them stays known."""
        view = replace(self, **changes)
        known = {name: value for name, value in vars(self).items() if name in _OF_THE_SHOWN}
        vars(view).update(known)
        return view

    def _step(self, position: int) -> tuple[int, ...]:
        """Positions of an assistant's message and the results behind it."""
        behind = range(position + 1, len(self.shown))
        return (position, *takewhile(lambda i: self.messages[i].role == "tool", behind))


def as_shown(transcript: Transcript, shown: Sequence[Shown]) -> Transcript:
    """The messages that the model is shown."""
    return tuple(_message(transcript, one) for one in shown)


def _message(transcript: Transcript, shown: Shown) -> Message:
    if shown.index is None:
        return Message(role=shown.role or "user", content=shown.content or "")
    message = transcript[shown.index]
    if shown.content is None:
        return message
    return message.model_copy(update={"content": shown.content})
