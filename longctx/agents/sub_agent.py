"""An agent as another one's tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from longctx import arguments
from longctx.agents.cancelling import Cancellation
from longctx.agents.conversation import Conversation
from longctx.agents.events import AgentResult, Event, ServerAsks
from longctx.agents.limits import checked_options
from longctx.agents.names import TOOL_NAME
from longctx.agents.results import last_result
from longctx.agents.running import RunningCall, running_call
from longctx.agents.settings import Setup
from longctx.agents.tools import Tool
from longctx.agents.track import Track
from longctx.errors import ToolError


def agent_tool(
    begin: Callable[[], tuple[Setup, Track]],
    name: str,
    description: str,
    *,
    timeout_s: float | None,
    confirm: bool,
) -> Tool:
    """Make a tool that hands a task to a run of its own, and gives back its answer.

    Args:
        begin: gives the track of a task, and what its run goes by.
        name: of the tool.
        description: what the other agent's model is told of it.
        timeout_s: how long a task may take; None is the other agent's limit for tools.
        confirm: whether somebody must allow each task.

    Raises:
        ToolError: name or description is none.
    """
    if not (isinstance(name, str) and TOOL_NAME.fullmatch(name)):
        raise ToolError(f"{name!r} is no tool's name; use 1 to 64 letters, digits, _ or -")
    if not isinstance(description, str) or not description.strip():
        raise ToolError(f"{name} has the description {description!r}; say what it is good for")

    def delegate(task: str) -> str:
        task = arguments.words("the task", task)
        cancellation = Cancellation()  # here: nobody may wait any more before the run begins
        running = running_call()
        if running is not None:
            running.on_abandon(lambda: cancellation.cancel("cancelled", "nobody waits for it"))
        setup, track = begin()
        limits, options = checked_options({}, list(track.toolbox.tools), setup.temperature)

        def told() -> Conversation:
            return track.told(task, pin=False, background=setup.background)

        events = track.work(setup, told, limits, options, cancellation)
        return _answer(name, last_result(_asking(events, running)))

    delegate.__name__ = name
    delegate.__doc__ = description
    return Tool(delegate, timeout_s=timeout_s, confirm=confirm)


def _asking(events: Iterator[Event], running: RunningCall | None) -> Iterator[Event]:
    """What a server asks in the task is asked where the task came from."""
    for event in events:
        if isinstance(event, ServerAsks) and running is not None:
            values = running.ask(event.question)
            if values is not None:
                event.answer(**values)
        yield event


def _answer(name: str, result: AgentResult) -> str:
    if result.text:
        return result.text
    raise ToolError(f"{name} came to no answer: {result.detail or 'it said nothing'}")
