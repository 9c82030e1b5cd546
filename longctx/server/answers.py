"""The answers that one request asks for, from the moment when their model is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from longctx.server.lease import Lease
from longctx.server.worker import Job
from longctx.types import Completion


class Answers:
    """Begun as soon as their model is open, and given up together.

    Args:
        begun: the answers, when all are accepted.
        lease: of their model; it is given back with them.
    """

    def __init__(self, begun: asyncio.Future[list[Job]], lease: Lease) -> None:
        self._begun = begun
        self._lease = lease
        self._error: Exception | None = None
        self._watchers: list[Callable[[], None]] = []

    def when_closed(self, call: Callable[[], None]) -> None:
        """Call this when they are done, or given up."""
        self._watchers.append(call)

    def end(self, error: Exception) -> None:
        """Give them up, and let their reader know why."""
        self._error = error
        for job in self._accepted():
            job.end(error)
        self._begun.cancel()

    @property
    def is_model_open(self) -> bool:
        """Whether they need not wait until it is."""
        return self._lease.is_ready

    async def jobs(self, within_s: float | None = None) -> Sequence[Job] | None:
        """All of them, accepted; None where that takes longer. They are given up on an error.

        Raises:
            ApiError: the model cannot be opened, the queue is full, or the time is up.
            LongCtxError: a request was refused.
        """
        try:
            await asyncio.wait((self._begun,), timeout=within_s)
            if self._error is not None:
                raise self._error
            return self._begun.result() if self._begun.done() else None
        except BaseException:
            self.close()
            raise

    async def results(self) -> list[Completion]:
        """Wait for all of them whole; raises as :meth:`jobs`."""
        try:
            jobs = await self.jobs()
            assert jobs is not None  # without a limit they are there
            return list(await asyncio.gather(*(job.result() for job in jobs)))
        finally:
            self.close()

    def close(self) -> None:
        """Give them up; harmless when they are done. Idempotent."""
        self._begun.cancel()
        for job in self._accepted():
            job.cancel()
        self._lease.release()
        while self._watchers:
            self._watchers.pop()()

    def _accepted(self) -> Sequence[Job]:
        begun = self._begun
        is_begun = begun.done() and not begun.cancelled() and begun.exception() is None
        return begun.result() if is_begun else ()
