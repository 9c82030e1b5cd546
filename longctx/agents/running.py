"""The call that a tool is in: whom to tell how far it is, and whether anybody still waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from longctx.agents.events import ServerAsks, ToolProgress
from longctx.mcp import ServerQuestion
from longctx.types import ToolCall

logger = logging.getLogger("longctx")


class Asked:
    """A question that waits until who reads the agent's stream has seen it.

    Attributes:
        event: takes the answer.
    """

    def __init__(self, event: ServerAsks) -> None:
        self.event = event
        self._over = threading.Event()

    def settle(self) -> None:
        """It was read, answered or not; or nobody waits any more."""
        self._over.set()

    def wait(self) -> None:
        """Until then."""
        self._over.wait()


class RunningCall:
    """A call of a tool, as the tool may know it (:func:`running_call`).

    Args:
        call: that the model made.
        tell: takes what is told of it.
    """

    def __init__(self, call: ToolCall, tell: Callable[[ToolProgress | Asked], None]) -> None:
        self.call = call
        self._tell = tell
        self._lock = threading.Lock()
        self._abandoned = False
        self._endings: list[Callable[[], object]] = []

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits any more: it took too long, or the run was cancelled."""
        return self._abandoned

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far it is; who reads the agent's stream gets a :class:`ToolProgress`."""
        if not self._abandoned:
            self._tell(
                ToolProgress(
                    call_id=self.call.id,
                    name=self.call.name,
                    done=done,
                    total=total,
                    message=message,
                )
            )

    def ask(self, question: ServerQuestion) -> dict[str, Any] | None:
        """Have who reads the agent's stream answer; None is no answer. It waits for that."""
        asked = Asked(ServerAsks(call=self.call, question=question))
        self.on_abandon(asked.settle)
        if not self._abandoned:
            self._tell(asked)
        asked.wait()
        return asked.event.values

    def on_abandon(self, end: Callable[[], object]) -> None:
        """Have something called once nobody waits any more; at once if that is so already.

        Args:
            end: ends what the tool does; it is called in another thread, and must not wait. What
                it raises is logged.
        """
        with self._lock:
            if not self._abandoned:
                self._endings.append(end)
                return
        _end(end)

    def abandon(self) -> None:
        """Let it end: nobody waits for its result."""
        with self._lock:
            self._abandoned = True
            endings, self._endings = self._endings, []
        for end in endings:
            _end(end)


def _end(end: Callable[[], object]) -> None:
    try:
        end()
    except Exception:  # a tool's, and neither the run's nor of others that are to be told
        logger.warning("what a tool gave to on_abandon failed", exc_info=True)


CURRENT: ContextVar[RunningCall | None] = ContextVar("running_call", default=None)


def running_call() -> RunningCall | None:
    """The call that this tool is in; None where no agent called it."""
    return CURRENT.get()
