"""One run at a time: a conversation goes on from where the run before has left it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from longctx.agents.cancelling import Cancellation
from longctx.errors import BackendError


class CallQueue:
    """Calls in the order in which they came; it knows who would wait for itself.

    There is no lock of Python's in it: Ctrl-C may fall between any two instructions, and would
    leave it taken for ever.

    Args:
        of: what the calls are of, for messages.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._turns: list[SimpleQueue[None]] = []  # the first is under way
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
        turn: SimpleQueue[None] = SimpleQueue()
        try:
            self._turns.append(turn)
            with cancellation.wakes(lambda: turn.put(None)):
                cancellation.check()
                while self._turns[0] is not turn:
                    turn.get()
                    cancellation.check()
            self._owner = me
            yield
        finally:
            if self._turns[:1] == [turn]:
                self._owner = None
            if turn in self._turns:
                self._turns.remove(turn)
            for following in self._turns[:1]:
                following.put(None)
