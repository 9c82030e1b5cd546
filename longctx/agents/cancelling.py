"""Ending a run from outside, or when its time is up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from longctx.agents.events import StopReason


class RunStopped(Exception):  # an end, and no error
    """The run ends here, unfinished."""

    def __init__(self, reason: StopReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: StopReason = reason
        self.detail = detail


class Cancellation:
    """Tells a run to end; what waits meanwhile is woken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped: RunStopped | None = None
        self._wakers: list[Callable[[], object]] = []

    @property
    def is_set(self) -> bool:
        """Whether the run is to end."""
        return self._stopped is not None

    def cancel(self, reason: StopReason, detail: str) -> None:
        """Let the run end; from any thread. The first reason holds."""
        with self._lock:
            if self._stopped is not None:
                return
            self._stopped = RunStopped(reason, detail)
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def check(self) -> None:
        """Come back only while the run goes on.

        Raises:
            RunStopped: it is to end.
        """
        if self._stopped is not None:
            raise self._stopped

    @contextmanager
    def wakes(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have something called, meanwhile, that ends a wait; it is called in another thread."""
        with self._lock:
            self._wakers.append(wake)
            late = self._stopped is not None
        try:
            if late:
                wake()
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """Cancel what takes longer."""
        if seconds is None:
            yield
            return
        detail = f"the run took longer than budget_s={seconds:g}"
        timer = threading.Timer(seconds, self.cancel, ("budget", detail))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
