"""One call at a time: llama.cpp is not thread-safe, so calls queue."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from longctx.errors import BackendError

P = ParamSpec("P")
R = TypeVar("R")

_task: ContextVar[object | None] = ContextVar("_task", default=None)


def _me() -> object:
    """Who is calling: the task that had this run in a thread, else the thread."""
    return _task.get() or threading.get_ident()


async def in_thread(function: Callable[..., R], *args: Any, **options: Any) -> R:
    """Run a call in a thread of asyncio's pool, in the name of the task that awaits it."""
    token = _task.set(asyncio.current_task())
    try:
        return await asyncio.to_thread(function, *args, **options)
    finally:
        _task.reset(token)


class CallQueue:
    """A lock that may be released in another thread, and knows who waits for itself.

    Args:
        of: what the calls are of, for messages.
    """

    def __init__(self, of: str = "LongContextLLM") -> None:
        self._of = of
        self._lock = threading.Lock()
        self._owner: object | None = None
        self._caller: object | None = None

    @contextmanager
    def turn(self, caller: object | None = None) -> Iterator[None]:
        """Wait for the calls before this one.

        Args:
            caller: whoever may ask again in the same thread while it has the turn.

        Raises:
            BackendError: this very thread or task has the turn, in a stream it has not finished.
        """
        me = _me()
        if self._owner == me:
            if caller is not None and self._caller is caller:
                yield
                return
            raise BackendError(
                f"this thread is still reading a stream of the same {self._of}; finish it, "
                "or close it with .close(), before the next call"
            )
        with self._lock:
            self._owner, self._caller = me, caller
            try:
                yield
            finally:
                self._owner = self._caller = None


class Queued(Protocol):
    """An object whose calls wait for a turn; ``queue`` is None where its owner waits for it."""

    queue: CallQueue | None


Q = TypeVar("Q", bound=Queued)


def in_turn(method: Callable[Concatenate[Q, P], R]) -> Callable[Concatenate[Q, P], R]:
    """Let a method wait for its object's turn; methods of one object may call each other."""

    @functools.wraps(method)
    def call(self: Q, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.queue is None:
            return method(self, *args, **kwargs)
        with self.queue.turn(self):
            return method(self, *args, **kwargs)

    return call
