"""One run at a time: a conversation goes on from where the run before has left it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from longctx.errors import BackendError


class CallQueue:
    """A lock that knows who would wait for itself.

    Args:
        of: what the calls are of, for messages.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._lock = threading.Lock()
        self._owner: int | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the calls before this one.

        Raises:
            BackendError: this very thread holds it, in a stream it has not finished.
        """
        me = threading.get_ident()
        if self._owner == me:
            raise BackendError(
                f"this thread is still reading a stream of the same {self._of}; finish it, "
                "or close it with .close(), before the next call"
            )
        with self._lock:
            self._owner = me
            try:
                yield
            finally:
                self._owner = None
