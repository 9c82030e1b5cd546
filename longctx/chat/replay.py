"""Turns of a conversation that are written as they were before, without the template.

A chat template may write a turn by anything in the conversation: the last user's message, how many
follow, what stands beside it. So each turn of a template's loop over the messages is recorded with
all that it read and all that it set: messages, whether more follow, variables outside of the loop,
attributes of namespaces. Where all of that is the same again, its text is, too, and so is what it
sets. Whatever cannot be followed ends the recording, and the template is run as it stands.

Source: self-adjusting computation by dynamic dependence graphs (Acar, Blelloch, Harper 2002).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, overload

from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Namespace


class NotRecordableError(Exception):
    """The template does what no recording follows."""


class _Mark:
    """Stands for a value that has no other."""


_UNDEFINED, _MISSING = _Mark(), _Mark()
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class _Of:
    """A value that stands for more than itself, by what it is."""

    kind: str
    what: Any


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are the same, and written the same: 1 is not True, nor 1.0."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is str:
        return bool(left == right)
    if kind is dict:
        return (
            len(left) == len(right)
            and all(map(same, left, right))
            and all(map(same, left.values(), right.values()))
        )
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(same, left, right))
    if kind is float:  # -0.0 is 0.0
        return repr(left) == repr(right)
    return bool(left == right)


def n_same(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many messages two conversations begin with alike."""
    n = 0
    for old, new in zip(left, right, strict=False):
        if not same(old, new):
            break
        n += 1
    return n


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
        return Recording(self._messages, self._loops, sum(map(len, self.parts)))

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
            seen = {
                name: _Of("namespace", names[id(value)]) if name in namespaces else _seen(value)
                for name, value in outside.items()
            }
        except NotRecordableError:
            return None
        loop = self._loops[site] = _Loop(items.start, seen)
        old = self._before.loops.get(site) if self._before else None
        fits = old is not None and old.start == items.start and _agree(old.outside, seen)
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
            run.loop.turns.append(old)
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
        run.loop.turns.append(turn if turn.follows else None)

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
            turn.reads[place] = value if value is _MISSING else _seen(value)
        except NotRecordableError:
            turn.follows = False

    def writes_attribute(self, namespace: Namespace, name: str, value: Any) -> None:
        """The turn sets an attribute of a namespace."""
        if self._turn is None or (place := self._place(namespace, name)) is None:
            return
        if _is_plain(value):
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
            recorder.reads_attribute(self, name, _MISSING)
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


class Turns(Sequence[Mapping[str, Any]]):
    """Messages from one on to the last, which tell the recorder what is read of them.

    No list: what it does not do as one fails, and the template is then run on the list itself.
    """

    def __init__(
        self, recorder: Recorder, messages: Sequence[Mapping[str, Any]], start: int
    ) -> None:
        self._recorder = recorder
        self._messages = messages
        self.start = start

    def __len__(self) -> int:
        self._recorder.reads_length()
        return max(0, len(self._messages) - self.start)

    def __bool__(self) -> bool:
        return self.has(0)

    def has(self, index: int) -> bool:
        """Whether there are more than so many."""
        at = self.start + index
        if at < len(self._messages):
            self._recorder.reads(at)
            return True
        self._recorder.reads_length()
        return False

    @overload
    def __getitem__(self, index: SupportsIndex) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
            if not self.has(index):
                raise IndexError("list index out of range")
            return self._messages[self.start + index]
        return self._all()[index]

    def _slice(self, index: slice) -> Sequence[Mapping[str, Any]]:
        start = 0 if index.start is None else index.start
        is_open = index.stop is None and index.step in (None, 1)
        if is_open and isinstance(start, int) and start >= 0:
            return Turns(self._recorder, self._messages, self.start + start)
        return self._all()[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        at = 0
        while self.has(at):
            yield self._messages[self.start + at]
            at += 1

    def __reversed__(self) -> Iterator[Mapping[str, Any]]:
        yield from reversed(self._all())

    def __contains__(self, item: object) -> bool:
        return item in self._all()

    def __eq__(self, other: object) -> bool:
        return self._all() == (list(other) if isinstance(other, Turns) else other)

    __hash__ = None  # type: ignore[assignment]  # a list has none, either

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> list[Mapping[str, Any]]:
        self._recorder.reads_length()
        self._recorder.reads(len(self._messages) - 1)
        return list(self._messages[self.start :])


class Indices:
    """``range(start, items | length)``, of which only so much is read as is gone through."""

    def __init__(self, items: Turns, start: int) -> None:
        self._items = items
        self._start = start
        self.start = items.start + start

    def __iter__(self) -> Iterator[int]:
        index = self._start
        while self._items.has(index):
            yield index
            index += 1


def indices(items: Any, start: Any) -> Iterable[int]:
    """``range(start, items | length)``, read as it is gone through where it can be."""
    if not isinstance(items, Turns) or type(start) is not int or start < 0:
        return range(start, len(items))
    return Indices(items, start)


def _attribute(namespace: Namespace, name: str) -> Any:
    """As it is seen, without being told."""
    try:
        value = getattr(namespace, name)
    except AttributeError:
        return _MISSING
    try:
        return _seen(value)
    except NotRecordableError:
        return _Mark()  # like none other


def _seen(value: Any) -> Any:
    """A value as it is compared with another.

    Raises:
        NotRecordableError: it may change, or be more than it shows.
    """
    if isinstance(value, Undefined):
        return _UNDEFINED
    if isinstance(value, Turns):
        return _Of("turns", value.start)
    if isinstance(value, Macro):
        return _Of("macro", value.name)
    if _is_plain(value):
        return value
    raise NotRecordableError


def _is_plain(value: Any) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) is dict:
        return all(type(key) in _PLAIN and _is_plain(item) for key, item in value.items())
    return type(value) in (list, tuple) and all(map(_is_plain, value))


def _agree(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return old.keys() == new.keys() and all(same(old[name], value) for name, value in new.items())
