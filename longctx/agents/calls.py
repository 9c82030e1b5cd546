"""Running the tools that a model calls: side by side, no longer than they may take."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from longctx.agents.events import ToolResult
from longctx.agents.tools import Tool
from longctx.errors import ToolError
from longctx.types import ToolCall


def run_calls(
    tools: Mapping[str, Tool], calls: Sequence[ToolCall], timeout_s: float | None
) -> list[ToolResult]:
    """Run the calls of one step, each in a thread of its own; return their results in order.

    What goes wrong in a tool is for the model to read and not for the caller; Ctrl-C is for the
    caller. A thread cannot be killed: a tool that takes too long is left alone, and does not
    keep the program from ending.

    Args:
        tools: by name.
        calls: of one step.
        timeout_s: for tools that have none of their own; None waits for ever, and such a tool
            runs in the caller's thread.
    """
    begun = [_begin(tools, call, timeout_s) for call in calls]
    return [_result(call, finish) for call, finish in zip(calls, begun, strict=True)]


def _begin(tools: Mapping[str, Tool], call: ToolCall, timeout_s: float | None) -> Callable[[], str]:
    tool = tools.get(call.name)
    if tool is None:
        known = ", ".join(tools) or "none"
        return _raiser(ToolError(f"there is no tool {call.name!r}; the tools are: {known}"))
    limit_s = timeout_s if tool.timeout_s is None else tool.timeout_s
    if limit_s is None:
        return lambda: tool.call(call.arguments)
    return _in_thread(tool, call, limit_s)


def _raiser(error: Exception) -> Callable[[], str]:
    def finish() -> str:
        raise error

    return finish


def _in_thread(tool: Tool, call: ToolCall, limit_s: float) -> Callable[[], str]:
    future: Future[str] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(tool.call, call.arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=f"tool {tool.name}", daemon=True).start()
    deadline = time.monotonic() + limit_s

    def finish() -> str:
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            if future.done():  # the tool's own TimeoutError
                raise
            raise ToolError(f"{tool.name} did not return within {limit_s:g} s") from None

    return finish


def _result(call: ToolCall, finish: Callable[[], str]) -> ToolResult:
    try:
        return ToolResult(call_id=call.id, name=call.name, text=finish())
    except ToolError as error:
        text = f"Error: {error}"
    except Exception as error:
        text = f"Error: {type(error).__name__}: {error}"
    return ToolResult(call_id=call.id, name=call.name, text=_writable(text), is_error=True)


def _writable(text: str) -> str:
    """An exception's message may hold what no file can: lone surrogates."""
    return text.encode("utf-8", "replace").decode()
