"""The tools of an agent: functions, and what servers offer, each under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from longctx.agents.tools import Tool
from longctx.errors import ToolError

_LONGEST_NAME = 64


@runtime_checkable
class ToolSource(Protocol):
    """Several tools of one origin, such as an MCP server, which has a name."""

    @property
    def name(self) -> str:
        """Of the origin."""

    @property
    def tools(self) -> Sequence[Tool]:
        """What it offers."""


ToolLike: TypeAlias = Tool | ToolSource


def tools_by_name(given: Sequence[ToolLike]) -> dict[str, Tool]:
    """Every tool by a name of its own.

    A function keeps its name. A source's tool keeps it if nothing else has it; otherwise the
    source's stands before it: ``git_search`` and ``mail_search``.

    Raises:
        ToolError: something is no tool, or two functions have one name.
    """
    for one in given:
        if not isinstance(one, Tool | ToolSource):
            raise ToolError(f"{one!r} is no tool; decorate the function with @tool")
    own = [one for one in given if isinstance(one, Tool)]
    taken: set[str] = set()
    for tool in own:
        if tool.name in taken:
            raise ToolError(f"two tools are named {tool.name!r}; rename one of the functions")
        taken.add(tool.name)
    offered = [tool.name for one in given if not isinstance(one, Tool) for tool in one.tools]
    clashing = {name for name in offered if offered.count(name) > 1 or name in taken}
    found: dict[str, Tool] = {}
    free = taken | (set(offered) - clashing)
    for one in given:
        if isinstance(one, Tool):
            found[one.name] = one
            continue
        for tool in one.tools:
            if tool.name not in clashing:
                found[tool.name] = tool
                continue
            name = _fresh(f"{one.name}_{tool.name}"[:_LONGEST_NAME], free)
            free.add(name)
            found[name] = tool.renamed(name)
    return found


def _fresh(name: str, taken: set[str]) -> str:
    number, fresh = 1, name
    while fresh in taken:
        number += 1
        end = f"_{number}"
        fresh = name[: _LONGEST_NAME - len(end)] + end
    return fresh
