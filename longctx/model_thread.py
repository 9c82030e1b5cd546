"""The one thread in which a model lives.

llama.cpp is not thread-safe, and what Python does with Ctrl-C and signals is done in the main
thread, between any two instructions. So whatever loads, decodes, samples or frees happens in a
thread of the model's own, which no signal reaches; callers wait for it in their threads or
event loops, and may give up waiting whenever they like.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from longctx import arguments
from longctx.channel import Cancelled, Channel
from longctx.errors import BackendError
from longctx.types import Progress, ProgressCallback

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("longctx")

EXIT_WAIT_S = 60.0
"""How long a process that ends waits for the batch under way."""


@dataclass(frozen=True)
class _Over:
    """How a call ended; ``error`` is None where it returned ``value``."""

    value: Any = None
    error: BaseException | None = None


_Reply: TypeAlias = _Over | Progress


class Rounds(Protocol):
    """Work that is done a little at a time, between calls. It never raises."""

    def round(self) -> bool:
        """Do a little; whether there is more to do."""

    def end(self, error: Exception) -> None:
        """Give up what is left, say so to whoever waits for it, and free everything."""


S = TypeVar("S", bound=Rounds)


@dataclass(frozen=True)
class _Call:
    function: Callable[[], Any]
    channel: Channel[_Reply]

    def run(self) -> None:
        try:
            self.channel.check()
            self.channel.finish(_Over(self.function()))
        except BaseException as error:
            self.channel.finish(_Over(error=error))


class _Loop:
    """What the thread runs. It knows no :class:`ModelThread`: when the last of those who hold
    that one lets go, the loop is told to end."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self.rounds: Rounds | None = None
        self.current: Channel[_Reply] | None = None
        self.has_ended = False

    def run(self) -> None:
        _running.add((self, threading.current_thread()))
        busy = False
        while True:
            try:
                call = self.inbox.get(block=not busy)
            except Empty:
                busy = self._round()
                continue
            if call is None:
                break
            self.current = call.channel
            call.run()
            # A reference kept while waiting would keep what the call was of, its model included.
            self.current = call = None
            busy = True
        self.has_ended = True
        if self.rounds is not None:
            self.rounds.end(self.closed_error())
            self.rounds = None
        with suppress(Empty):
            while True:
                waiting = self.inbox.get_nowait()
                if waiting is not None:
                    waiting.channel.finish(_Over(error=self.closed_error()))
        _running.discard((self, threading.current_thread()))

    def _round(self) -> bool:
        if self.rounds is None:
            return False
        try:
            return self.rounds.round()
        except Exception as error:  # a bug; whoever waits must learn of it, or would for ever
            logger.exception("the model's thread failed")
            self.rounds.end(error)
            return False

    def check(self) -> None:
        if self.current is not None:
            self.current.check()

    def closed_error(self) -> BackendError:
        return BackendError(f"this {self.of} is closed; construct a new one")


_running: set[tuple[_Loop, threading.Thread]] = set()


class ModelThread:
    """Runs calls one after the other in a thread of its own, and rounds of work between them.

    It ends with :meth:`close`, when nobody holds it any more, and with the process, which waits
    for the batch under way.

    Args:
        of: what it is of, for messages.
    """

    def __init__(self, of: str = "LongContextLLM") -> None:
        self._loop = _Loop(of)
        self._pid = os.getpid()
        # Whatever interrupts this constructor, a thread that was started is told to end.
        self._end = weakref.finalize(self, self._loop.inbox.put, None)
        self._end.atexit = False  # _end_all waits for the thread, too
        self._thread = threading.Thread(target=self._loop.run, name="longctx-model", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the model's thread."""
        return threading.current_thread() is self._thread

    @property
    def is_open(self) -> bool:
        """Whether it still takes calls."""
        return self._end.alive

    @property
    def checkpoint(self) -> Callable[[], None]:
        """What long work in this thread calls between batches: it raises
        :class:`~longctx.channel.Cancelled` where nobody waits for the call any more."""
        return self._loop.check

    def serve(self, make: Callable[[], S]) -> S:
        """Make something in the thread, and do its rounds of work between calls from now on.

        It is ended with the thread, also where the caller was interrupted and never saw it.
        """

        def install() -> S:
            made = make()
            self._loop.rounds = made
            return made

        return self.call(install)

    def check_open(self) -> None:
        """Come back only while calls are taken.

        Raises:
            BackendError: it was closed, or this process was forked from the one that has it.
        """
        if self._pid != os.getpid():
            raise BackendError(
                f"this {self._loop.of} belongs to the process that constructed it, and this is a "
                "fork of it, which has no copy of its thread; construct one here"
            )
        if not self.is_open:
            raise self._loop.closed_error()

    def call(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """:meth:`run`, with the arguments as a call has them."""
        return self.run(function, args, kwargs)

    def run(self, function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """Run a function in the model's thread and wait for it.

        In that thread itself it is simply called. What is raised in the waiting thread (Ctrl-C)
        ends the function at its next checkpoint, and is raised here when it has ended.

        Args:
            function: what to run.
            args: its arguments.
            kwargs: its keyword arguments. A callback ``on_progress`` among them is called in
                the waiting thread, with what the function tells the one that it gets.

        Raises:
            BackendError: the thread was closed, before or meanwhile.
            BaseException: whatever the function raises.
        """
        if self.is_here:
            return function(*args, **kwargs)
        self.check_open()
        channel: Channel[_Reply] = Channel()
        on_progress: ProgressCallback | None = kwargs.get("on_progress")
        arguments.listener("on_progress", on_progress)
        if on_progress is not None:
            kwargs = {**kwargs, "on_progress": channel.send}
        try:
            self._put(_Call(functools.partial(function, *args, **kwargs), channel))
            over = _wait(channel, on_progress)
        except BaseException:
            channel.cancel()
            self._settle()
            raise
        if isinstance(over.error, Cancelled):  # by close(), not by us
            raise self._loop.closed_error()
        if over.error is not None:
            raise over.error
        value: R = over.value
        return value

    def post(self, function: Callable[[], object]) -> None:
        """Let a function run in the model's thread, without waiting for it.

        Raises:
            BackendError: the thread was closed.
        """
        self.check_open()
        self._put(_Call(function, Channel()))

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """End what is under way at its next batch, run ``last``, and end the thread. Idempotent.

        Who waits for an answer or a call gets a :class:`~longctx.BackendError`.
        """
        if self._pid != os.getpid() or not self.is_open:
            return
        if self.is_here:
            last()
            self._end()
            return
        current = self._loop.current
        if current is not None:
            current.cancel()

        def end() -> None:
            try:
                last()
            finally:
                self._end()  # here, where no signal can fall between the two

        try:
            self.call(end)
        finally:
            self._end()  # also where the caller gave up before it began
        self._thread.join()

    def _put(self, call: _Call) -> None:
        self._loop.inbox.put(call)
        # Since check_open; nobody reads the inbox any more. The last call, which ended the thread
        # itself, has its answer by then.
        if self._loop.has_ended and not call.channel.has_events:
            raise self._loop.closed_error()

    def _settle(self) -> None:
        """Wait until what was put before has been run or given up."""
        after: Channel[_Reply] = Channel()
        with suppress(BackendError):
            self._put(_Call(lambda: None, after))
            _wait(after, None)


def _wait(channel: Channel[_Reply], on_progress: ProgressCallback | None) -> _Over:
    while True:
        event = channel.receive()
        if isinstance(event, _Over):
            return event
        if on_progress is not None:
            on_progress(event)


class LivesOnModel(Protocol):
    """An object whose methods run in a model's thread; None where its owner is there already."""

    @property
    def thread(self) -> ModelThread | None:
        """Where its methods run."""


L = TypeVar("L", bound=LivesOnModel)


def in_model_thread(
    method: Callable[Concatenate[L, P], R],
) -> Callable[Concatenate[L, P], R]:
    """Let a method run in its object's model thread; methods of one object may call each other."""

    @functools.wraps(method)
    def call(self: L, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.thread is None:
            return method(self, *args, **kwargs)
        return self.thread.run(method, (self, *args), dict(kwargs))

    return call


def _end_all() -> None:
    """At the end of the process no thread may be inside llama.cpp when its library goes."""
    running = list(_running)
    for loop, _ in running:
        current = loop.current
        if current is not None:
            current.cancel()
        loop.inbox.put(None)
    for _, thread in running:
        thread.join(EXIT_WAIT_S)  # it is running, or was: it put itself there


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    # A fork has this memory and none of these threads.
    os.register_at_fork(after_in_child=_running.clear)
