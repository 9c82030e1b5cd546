"""Running the tools that a model calls: side by side, no longer than they may take."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from longctx.agents.cancelling import Cancellation
from longctx.agents.events import ServerAsks, ToolProgress, ToolResult
from longctx.agents.running import CURRENT, Asked, RunningCall
from longctx.agents.tools import Tool
from longctx.errors import ToolError
from longctx.types import ToolCall

Around = Callable[[ToolCall], AbstractContextManager[Callable[[str], None]]]
"""Entered in the tool's thread, around the call; what the tool raises passes through it, and what
it gives is told."""

_MOST_UNREAD = 1000
"""Events that wait to be read; a tool that tells more is not heard."""

_Told = ToolProgress | Asked | None
CallEvent = ToolProgress | ServerAsks


@dataclass
class _Begun:
    """A call under way; ``outcome`` is its text, or what it raised."""

    call: ToolCall
    running: RunningCall
    began: float
    limit_s: float
    deadline: float
    ended: float = 0.0
    outcome: str | BaseException | None = None


@dataclass
class Calls:
    """How the calls of a run are made.

    Attributes:
        tools: by name.
        timeout_s: for tools that have none of their own; None waits for ever, and such a tool
            runs in the caller's thread.
        cancellation: of the run.
        around: put around every call that is made.
        finished: told of every call that was made: its result, and the seconds that it took.
    """

    tools: Mapping[str, Tool]
    timeout_s: float | None
    cancellation: Cancellation = field(default_factory=Cancellation)
    around: Around | None = None
    finished: Callable[[ToolCall, ToolResult, float], None] | None = None

    def run(self, calls: Sequence[ToolCall]) -> Generator[CallEvent, None, list[ToolResult]]:
        """Run the calls of one step, each in a thread of its own; return results in their order.

        What goes wrong in a tool is for the model to read and not for the caller; Ctrl-C is for
        the caller. A thread cannot be killed: a tool that takes too long is told that nobody
        waits (:class:`RunningCall`), and does not keep the program from ending.

        Raises:
            RunStopped: the run was cancelled.
        """
        events: SimpleQueue[_Told] = SimpleQueue()

        def wake() -> None:
            events.put(None)

        begun = [self._begin(call, events) for call in calls]
        done = False
        try:
            with self.cancellation.wakes(wake):
                results = []
                for one in begun:
                    results.append((yield from self._result(one, begun, events)))
            done = True
            return results
        finally:
            if not done:
                for one in begun:
                    one.running.abandon()

    def _begin(self, call: ToolCall, events: SimpleQueue[_Told]) -> _Begun:
        tool = self.tools.get(call.name)
        limit_s = self.timeout_s if tool is None or tool.timeout_s is None else tool.timeout_s

        def tell(said: ToolProgress | Asked) -> None:
            if isinstance(said, Asked) and limit_s is None:
                said.settle()  # who would read it is in this call
            elif isinstance(said, Asked) or events.qsize() < _MOST_UNREAD:
                events.put(said)

        running = RunningCall(call, tell)
        now = time.monotonic()
        if tool is None:
            known = ", ".join(self.tools) or "none"
            missing = ToolError(f"there is no tool {call.name!r}; the tools are: {known}")
            return _Begun(call, running, now, 0.0, now, outcome=missing)
        if limit_s is None:
            return _Begun(call, running, now, 0.0, float("inf"))
        begun = _Begun(call, running, now, limit_s, now + limit_s)
        context = contextvars.copy_context()

        def work() -> None:
            outcome = context.run(self._made, tool, running)
            begun.ended = time.monotonic()
            begun.outcome = outcome
            events.put(None)

        threading.Thread(target=work, name=f"tool {tool.name}", daemon=True).start()
        return begun

    def _made(self, tool: Tool, running: RunningCall) -> str | BaseException:
        token = CURRENT.set(running)
        try:
            if self.around is None:
                return tool.call(running.call.arguments)
            with self.around(running.call) as told:
                text = tool.call(running.call.arguments)
                told(text)
                return text
        except BaseException as error:
            return error
        finally:
            CURRENT.reset(token)

    def _result(
        self, begun: _Begun, together: Sequence[_Begun], events: SimpleQueue[_Told]
    ) -> Generator[CallEvent, None, ToolResult]:
        if begun.deadline == float("inf"):
            self.cancellation.check()
            begun.outcome = self._made(self.tools[begun.call.name], begun.running)
        late: ToolError | None = None
        while begun.outcome is None and late is None:
            self.cancellation.check()
            left = begun.deadline - time.monotonic()
            if left <= 0:
                late = ToolError(f"{begun.call.name} did not return within {begun.limit_s:g} s")
                begun.running.abandon()
                break
            with suppress(Empty):
                yield from _told(events.get(timeout=left), together)
        # Decided by now: a tool that is told that nobody waits may still say something.
        outcome = late or begun.outcome
        assert outcome is not None
        while not events.empty():
            yield from _told(events.get(), together)
        self.cancellation.check()
        result = _as_result(begun.call, outcome)
        if self.finished is not None:
            self.finished(begun.call, result, (begun.ended or time.monotonic()) - begun.began)
        return result


def _told(said: _Told, together: Sequence[_Begun]) -> Generator[CallEvent]:
    """What a tool says; while somebody is asked, no call's time passes."""
    if not isinstance(said, Asked):
        if said is not None:
            yield said
        return
    began = time.monotonic()
    try:
        yield said.event
    finally:
        said.settle()
        for one in together:
            one.deadline += time.monotonic() - began


def _as_result(call: ToolCall, outcome: str | BaseException) -> ToolResult:
    if isinstance(outcome, str):
        return ToolResult(call_id=call.id, name=call.name, text=outcome)
    return failed(call, outcome)


def failed(call: ToolCall, error: BaseException) -> ToolResult:
    """What the model is told of a call that failed.

    Raises:
        KeyboardInterrupt, SystemExit: they are the caller's. (That something was cancelled inside
            of a tool, which is no ``Exception`` either, is not.)
    """
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
    text = f"Error: {kind}{error}"
    # An exception's message may hold what no file can: lone surrogates.
    text = text.encode("utf-8", "replace").decode()
    return ToolResult(call_id=call.id, name=call.name, text=text, is_error=True)
