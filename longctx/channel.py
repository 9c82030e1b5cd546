"""What the thread that works tells whoever asked, who may give up at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    # Who has an event loop has it loaded; others need none of its 3 MB.
    import asyncio

T = TypeVar("T")
_Waiting: TypeAlias = "list[tuple[Channel[Any], asyncio.Future[None]]]"
_Asleep: TypeAlias = "dict[asyncio.AbstractEventLoop, _Waiting]"
_local = threading.local()


class Cancelled(BaseException):
    """Ends work from inside, between two batches or tokens: nobody waits for it any more.

    No ``Exception``, so that nothing which handles failures takes it for one.
    """


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class Channel(Generic[T]):
    """Events from a working thread to one reader, in a thread or an event loop.

    There is no lock of Python's in it: an exception that a signal handler raises in the reader
    (Ctrl-C, a notebook's stop, an alarm) may fall between any two instructions, and would leave
    such a lock taken for ever. ``SimpleQueue`` is C, and its calls are whole.
    """

    def __init__(self) -> None:
        self._events: SimpleQueue[T | _Failure] = SimpleQueue()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._running_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
        self._cancelled = False

    # The worker's end

    @property
    def is_cancelled(self) -> bool:
        """Whether the reader gave up."""
        return self._cancelled

    def check(self) -> None:
        """Come back only while somebody waits.

        Raises:
            Cancelled: nobody does.
        """
        if self._cancelled:
            raise Cancelled

    def send(self, event: T) -> None:
        """Tell the reader something.

        Raises:
            Cancelled: the reader gave up.
        """
        self.check()
        self._put(event)

    def finish(self, event: T) -> None:
        """Tell the reader the last thing, whether or not it still waits."""
        self._put(event)

    def fail(self, error: BaseException) -> None:
        """Let the reader's next :meth:`receive` raise an error."""
        self._put(_Failure(error))

    def _put(self, event: T | _Failure) -> None:
        self._events.put(event)
        waiter = self._waiter
        if waiter is None:
            return
        asleep: _Asleep | None = getattr(_local, "asleep", None)
        if asleep is None:
            _wake_in(waiter[0], [(self, waiter[1])])
        else:
            asleep.setdefault(waiter[0], []).append((self, waiter[1]))

    # The reader's end

    def cancel(self) -> None:
        """Give up; the worker learns of it before its next batch. Idempotent, never waits."""
        self._cancelled = True

    def wake(self) -> None:
        """Let a reader that waits in another thread stop waiting: it gets :class:`Cancelled`."""
        self.fail(Cancelled())

    @property
    def has_events(self) -> bool:
        """Whether :meth:`receive` would not have to wait."""
        return not self._events.empty()

    def receive(self) -> T:
        """Wait for the next event.

        Raises:
            BaseException: whatever the worker failed with.
        """
        return _opened(self._events.get())

    async def areceive(self) -> T:
        """:meth:`receive`, in an event loop and without a thread."""
        if self._running_loop is None:  # an import takes longer than all else here
            from asyncio import get_running_loop

            self._running_loop = get_running_loop
        loop = self._running_loop()
        while True:
            try:
                return _opened(self._events.get_nowait())
            except Empty:
                pass
            future = loop.create_future()
            self._waiter = (loop, future)
            try:
                # What was sent before the worker could see the waiter wakes nobody.
                if self._events.empty():
                    await future
            finally:
                self._waiter = None


def _opened(event: T | _Failure) -> T:
    if isinstance(event, _Failure):
        raise event.error
    return event


class WakingTogether:
    """Lets readers in event loops wake when this ends, and not one by one with each event.

    Waking a loop writes to a socket, which gives Python's lock away: to the reader just woken, who
    would keep the worker from the events of all others.
    """

    def __enter__(self) -> None:
        _local.asleep = {}

    def __exit__(self, *_error: object) -> None:
        asleep: _Asleep = _local.asleep
        _local.asleep = None
        for loop, waiting in asleep.items():
            _wake_in(loop, waiting)


def _wake_in(loop: asyncio.AbstractEventLoop, waiting: _Waiting) -> None:
    try:
        loop.call_soon_threadsafe(_wake, [future for _, future in waiting])
    except RuntimeError:  # the loop was closed under an answer
        for channel, _ in waiting:
            channel.cancel()


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class Merged(Generic[T]):
    """Several channels with one reader, who gets their events as they come.

    Args:
        n: how many.
    """

    def __init__(self, n: int) -> None:
        self._events: SimpleQueue[tuple[int, T | _Failure]] = SimpleQueue()
        self.channels: tuple[Channel[T], ...] = tuple(_Part(self._events, i) for i in range(n))

    def receive(self) -> tuple[int, T]:
        """Wait for the next event of any, and say whose it is; raises what a worker failed with."""
        i, event = self._events.get()
        return i, _opened(event)

    def cancel(self) -> None:
        """Give all up."""
        for channel in self.channels:
            channel.cancel()


class _Part(Channel[T]):
    def __init__(self, events: SimpleQueue[tuple[int, T | _Failure]], i: int) -> None:
        super().__init__()
        self._merged = events
        self._i = i

    def _put(self, event: T | _Failure) -> None:
        self._merged.put((self._i, event))
