"""How long calls of a server's tools may take, in its event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from anyio import CancelScope

T = TypeVar("T")
_MOST_ANSWERS = 32
"""While calls are under way; a server that asks for ever is late in the end."""


class CallTimes:
    """Limits of the calls under way. None's time passes while something is asked in one: before
    2026 servers did not say in which."""

    def __init__(self) -> None:
        self._limits: dict[CancelScope, float] = {}
        self._n_asked = 0
        self._n_answers = 0
        self._since = 0.0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give a call up that takes longer.

        Raises:
            TimeoutError: it did.
        """
        import anyio

        with anyio.CancelScope() as scope:
            self._limits[scope] = anyio.current_time() + seconds
            self._set()
            try:
                yield
            finally:
                del self._limits[scope]
                if not self._limits:
                    self._n_answers = 0
        if scope.cancelled_caught:
            raise TimeoutError(f"it took longer than {seconds:g} s")

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Meanwhile no time passes."""
        import anyio

        self._n_answers += 1
        if self._n_answers > _MOST_ANSWERS:
            yield
            return
        if not self._n_asked:
            self._since = anyio.current_time()
        self._n_asked += 1
        self._set()
        try:
            yield
        finally:
            self._n_asked -= 1
            if not self._n_asked:
                waited = anyio.current_time() - self._since
                self._limits = {scope: limit + waited for scope, limit in self._limits.items()}
            self._set()

    def _set(self) -> None:
        for scope, limit in self._limits.items():
            scope.deadline = inf if self._n_asked else limit


async def in_time(seconds: float, asked: Awaitable[T]) -> T:
    """What a request in which nothing is asked brings.

    Raises:
        TimeoutError: it took longer.
    """
    import anyio

    with anyio.fail_after(seconds):
        return await asked
