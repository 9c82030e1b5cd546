"""One run at a time: a conversation goes on from where the run before has left it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from longctx.agents.cancelling import Cancellation
from longctx.errors import BackendError


class CallQueue:
    """A lock that knows who would wait for itself, and lets those go who are told to end.

    Args:
        of: what the calls are of, for messages.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._free = threading.Condition()
        self._owner: int | None = None

    @contextmanager
    def hold(self, cancellation: Cancellation | None = None) -> Iterator[None]:
        """Wait for the calls before this one.

        Args:
            cancellation: ends the wait.

        Raises:
            BackendError: this very thread holds it, in a stream it has not finished.
            RunStopped: it was cancelled before its turn came.
        """
        me = threading.get_ident()
        if self._owner == me:
            raise BackendError(
                f"this thread is still reading a stream of the same {self._of}; finish it, "
                "or close it with .close(), before the next call"
            )
        cancellation = cancellation or Cancellation()
        with cancellation.wakes(self._wake), self._free:
            cancellation.check()
            while self._owner is not None:
                self._free.wait()
                cancellation.check()
            self._owner = me
        try:
            yield
        finally:
            with self._free:
                self._owner = None
                self._free.notify_all()

    def _wake(self) -> None:
        with self._free:
            self._free.notify_all()
