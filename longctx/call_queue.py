"""One call at a time: llama.cpp is not thread-safe, so calls queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from longctx.errors import BackendError


class CallQueue:
    """A lock that may be released in another thread, and knows a thread waiting for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    @contextmanager
    def turn(self, *, owned: bool = True) -> Iterator[None]:
        """Wait for the calls before this one.

        Args:
            owned: False where threads come from a pool, so that the same thread asking twice
                is no deadlock.

        Raises:
            BackendError: this very thread holds the turn, in a stream that it has not finished.
        """
        me = threading.get_ident()
        if owned and self._owner == me and self._lock.locked():
            raise BackendError(
                "this thread is still reading a stream of the same LongContextLLM; finish it, "
                "or close it with .close(), before the next call"
            )
        with self._lock:
            self._owner = me if owned else None
            try:
                yield
            finally:
                self._owner = None
