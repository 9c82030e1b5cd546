"""Turns of a conversation that are written as they were before, without the template.

A chat template may write a turn by anything in the conversation: the last user's message, how many
follow, what stands beside it. So each turn of a template's loop over the messages is recorded with
all that it read and all that it set: messages, whether more follow, variables outside of the loop,
attributes of namespaces. Where all of that is the same again, its text is, too, and so is what it
sets. Whatever cannot be followed ends the recording, and the template is run as it stands.

Source: self-adjusting computation by dynamic dependence graphs (Acar, Blelloch, Harper 2002).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jinja2.runtime import LoopContext
from jinja2.utils import Namespace

from longctx.chat.held_values import HeldValues
from longctx.chat.seen_values import (
    MISSING,
    Mark,
    NotRecordableError,
    Of,
    agree,
    is_plain,
    same,
    seen,
)
from longctx.chat.turns import Indices, Turns


@dataclass(slots=True)
class _Turn:
    """What a turn wrote, and by what.

    ``last`` is the farthest message that it read, ``whole`` whether it also read how many there
    are; namespaces go by the name of the variable outside of the loop.
    """

    last: int
    whole: bool = False
    text: str = ""
    reads: dict[tuple[str, str], Any] = field(default_factory=dict)
    writes: dict[tuple[str, str], Any] = field(default_factory=dict)
    follows: bool = True
    at: int = 0
    own: list[Namespace] = field(default_factory=list)


@dataclass(slots=True)
class _Loop:
    start: int
    outside: dict[str, Any]
    turns: list[_Turn | None] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """A loop while it runs."""

    loop: _Loop
    namespaces: dict[str, Namespace]
    names: dict[int, str]
    before: Sequence[_Turn | None]
    is_exhausted: bool = False


@dataclass(frozen=True, eq=False)
class Recording:
    """How a conversation was rendered."""

    messages: Sequence[Mapping[str, Any]]
    loops: Mapping[int, _Loop]
    n_characters: int


class Recorder:
    """Records one rendering, and replays turns of another.

    Args:
        messages: as the template is given them.
        before: a rendering of the same template; None replays nothing.
        n_same: how many messages both begin with alike, by :func:`n_same`.
    """

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]],
        before: Recording | None = None,
        n_same: int = 0,
    ) -> None:
        self._messages = messages
        self._before = before
        self._n_same = n_same
        self._as_long = before is not None and len(before.messages) == len(messages)
        self._runs: dict[int, _Run | None] = {}
        self._loops: dict[int, _Loop] = {}
        self._turn: tuple[_Run, _Turn] | None = None
        self._held = HeldValues()
        self.parts: list[str] = []
        self.n_replayed = 0

    @property
    def turns(self) -> Turns:
        """The messages, for the template."""
        return Turns(self, self._messages, 0)

    @property
    def is_in_turn(self) -> bool:
        """Whether a turn is being recorded."""
        return self._turn is not None

    def recording(self) -> Recording:
        """What there is, once all is rendered."""
        n_characters = sum(map(len, self.parts)) + self._held.n_characters
        return Recording(self._messages, self._loops, n_characters)

    # What the rewritten template says of its loops.

    def begin(self, site: int, items: Any, outside: Mapping[str, Any]) -> Iterator[Any]:
        """A loop begins.

        Args:
            site: which one.
            items: that it goes over.
            outside: variables that its turns look up.
        """
        self._runs[site] = run = self._run(site, items, outside)
        yield from items
        if run is not None:
            run.is_exhausted = True

    def _run(self, site: int, items: Any, outside: Mapping[str, Any]) -> _Run | None:
        if not isinstance(items, Turns | Indices):
            return None
        namespaces = {name: it for name, it in outside.items() if isinstance(it, Namespace)}
        names: dict[int, str] = {}
        for name, namespace in namespaces.items():
            names.setdefault(id(namespace), name)
        try:
            found = {
                name: Of("namespace", names[id(value)]) if name in namespaces else seen(value)
                for name, value in outside.items()
            }
        except NotRecordableError:
            return None
        if not self._held.take(found.values()):
            return None
        loop = self._loops[site] = _Loop(items.start, found)
        old = self._before.loops.get(site) if self._before else None
        fits = old is not None and old.start == items.start and agree(old.outside, found)
        return _Run(loop, namespaces, names, old.turns if old is not None and fits else ())

    def must_render(self, site: int, context: LoopContext) -> bool:
        """A turn begins; whether the template is to write it, or it was written here."""
        run = self._runs.get(site)
        if run is None:
            return True
        self._close()
        number = context.index0
        old = run.before[number] if number < len(run.before) else None
        if old is not None and self._holds(run, old):
            self.parts.append(old.text)
            for (name, attribute), value in old.writes.items():
                run.namespaces[name][attribute] = value
            run.loop.turns.append(old if self._holds_on(old) else None)
            self.n_replayed += 1
            return False
        self._turn = run, _Turn(run.loop.start + number, at=len(self.parts))
        return True

    def end(self, site: int) -> None:
        """A loop has ended."""
        run = self._runs.get(site)
        if run is None:
            return
        if not run.is_exhausted:  # by a break, which no replay does
            self._turn = None
        self._close()

    def _holds(self, run: _Run, old: _Turn) -> bool:
        if old.last >= self._n_same or (old.whole and not self._as_long):
            return False
        return all(
            same(_attribute(run.namespaces[name], attribute), value)
            for (name, attribute), value in old.reads.items()
        )

    def _close(self) -> None:
        if self._turn is None:
            return
        run, turn = self._turn
        self._turn = None
        turn.text = "".join(self.parts[turn.at :])
        self.parts[turn.at :] = [turn.text]
        turn.own.clear()
        run.loop.turns.append(turn if turn.follows and self._holds_on(turn) else None)

    def _holds_on(self, turn: _Turn) -> bool:
        """Whether there is room for what the turn read and set."""
        return self._held.take(turn.reads.values(), turn.writes.values())

    # What a turn does.

    def reads(self, index: int) -> None:
        """The turn looks at a message."""
        if self._turn is not None:
            turn = self._turn[1]
            turn.last = max(turn.last, index)

    def reads_length(self) -> None:
        """The turn looks at how many there are."""
        if self._turn is not None:
            self._turn[1].whole = True

    def makes(self, namespace: Namespace) -> None:
        """A namespace is made."""
        if self._turn is not None:
            self._turn[1].own.append(namespace)  # kept, so that no other gets its id

    def reads_attribute(self, namespace: Namespace, name: str, value: Any) -> None:
        """The turn looks at a namespace."""
        if self._turn is None or (place := self._place(namespace, name)) is None:
            return
        turn = self._turn[1]
        if place in turn.reads or place in turn.writes:
            return
        try:
            turn.reads[place] = value if value is MISSING else seen(value)
        except NotRecordableError:
            turn.follows = False

    def writes_attribute(self, namespace: Namespace, name: str, value: Any) -> None:
        """The turn sets an attribute of a namespace."""
        if self._turn is None or (place := self._place(namespace, name)) is None:
            return
        if is_plain(value):
            self._turn[1].writes[place] = value
        else:
            self._turn[1].follows = False

    def _place(self, namespace: Namespace, attribute: str) -> tuple[str, str] | None:
        """Where a namespace's attribute is; None where no other turn can see it."""
        assert self._turn is not None
        run, turn = self._turn
        name = run.names.get(id(namespace))
        if name is not None:
            return name, attribute
        if not any(own is namespace for own in turn.own):
            turn.follows = False
        return None


RECORDER: ContextVar[Recorder | None] = ContextVar("RECORDER", default=None)
"""Of the rendering that runs in this thread."""


class TrackedNamespace(Namespace):
    """Jinja's ``namespace()``, whose reads and writes are recorded."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # as Jinja has it: any name is an attribute
        Namespace.__init__(*args, **kwargs)
        if (recorder := RECORDER.get()) is not None:
            recorder.makes(args[0])

    def __getattribute__(self, name: str) -> Any:
        if name in {"_Namespace__attrs", "__class__"}:
            return object.__getattribute__(self, name)
        recorder = RECORDER.get()
        if recorder is None or not recorder.is_in_turn:
            return super().__getattribute__(name)
        try:
            value = super().__getattribute__(name)
        except AttributeError:
            recorder.reads_attribute(self, name, MISSING)
            raise
        recorder.reads_attribute(self, name, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        if (recorder := RECORDER.get()) is not None:
            recorder.writes_attribute(self, name, value)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        if (recorder := RECORDER.get()) is not None and recorder.is_in_turn:
            raise NotRecordableError
        return super().__repr__()


def _attribute(namespace: Namespace, name: str) -> Any:
    """As it is seen, without being told."""
    try:
        value = getattr(namespace, name)
    except AttributeError:
        return MISSING
    try:
        return seen(value)
    except NotRecordableError:
        return Mark()  # like none other
