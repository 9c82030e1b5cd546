"""An agent as another one's tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longctx.agents.events import AgentResult
from longctx.agents.running import running_call
from longctx.agents.tools import Tool
from longctx.errors import ToolError

if TYPE_CHECKING:
    from longctx.agents.agent import Agent


def agent_tool(
    agent: Agent, name: str, description: str, *, timeout_s: float | None, confirm: bool
) -> Tool:
    """Make a tool that hands a task to a fork of an agent, and gives back its answer.

    Args:
        agent: what its conversation begins with; it is not changed.
        name: of the tool.
        description: what the other agent's model is told of it.
        timeout_s: how long a task may take; None is the other agent's limit for tools.
        confirm: whether somebody must allow each task.

    Raises:
        ToolError: name or description is none.
    """

    def delegate(task: str) -> str:
        worker = agent.fork()
        running = running_call()
        if running is not None:
            running.on_abandon(worker.cancel)
        return _answer(name, worker.run(task))

    delegate.__name__ = name
    delegate.__doc__ = description
    return Tool(delegate, timeout_s=timeout_s, confirm=confirm)


def _answer(name: str, result: AgentResult) -> str:
    if result.text:
        return result.text
    raise ToolError(f"{name} came to no answer: {result.detail or 'it said nothing'}")
