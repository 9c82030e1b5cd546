"""The tools of an agent: functions, and what servers offer, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from longctx.agents.events import ServerChanged, ToolsChanged
from longctx.agents.tools import Tool
from longctx.errors import ToolError
from longctx.types import ToolSchema

_LONGEST_NAME = 64
_Beside: TypeAlias = Literal["resources", "prompts"]
_BESIDE: tuple[_Beside, ...] = ("resources", "prompts")


@runtime_checkable
class ToolSource(Protocol):
    """Several tools of one origin, such as an MCP server, which has a name."""

    @property
    def name(self) -> str:
        """Of the origin."""

    @property
    def tools(self) -> Sequence[Tool]:
        """What it offers now; an agent asks at the beginning of each turn."""


@runtime_checkable
class ServingSource(ToolSource, Protocol):
    """A source that has documents and prompts as well."""

    def changed(self, of: _Beside, /) -> int:
        """How often a list of them changed so far."""


ToolLike: TypeAlias = Tool | ToolSource


class Toolbox:
    """What an agent may call, as it stood when its turn began.

    Args:
        given: functions and sources.

    Attributes:
        tools: by the names that they have for the model.
        schemas: theirs.
        names_by_source: those of each source, by its name.

    Raises:
        ToolError: something is no tool, or two functions have one name.
    """

    def __init__(self, given: Sequence[ToolLike]) -> None:
        self._given = tuple(given)
        self.tools: dict[str, Tool] = {}
        self._news: list[ToolsChanged | ServerChanged] = []
        self._take()
        self._heard = self._beside()

    def names(self) -> list[str]:
        """What could be called in a turn that begins now."""
        return [name for name, _, _ in _named(self._given)]

    def renew(self) -> bool:
        """Take up what sources offer by now; whether the prompt is another for it."""
        tools, schemas = self.tools, self.schemas
        self._take()
        is_other = self.schemas != schemas
        if is_other:
            self._news.append(_difference(tools, self.tools))
        heard, before = self._beside(), self._heard
        for (source, now), (_, then) in zip(heard, before, strict=True):
            lists = tuple(one for one in _BESIDE if now[one] != then[one])
            if lists:
                self._news.append(ServerChanged(server=source, lists=lists))
        self._heard = heard
        return is_other

    def news(self) -> list[ToolsChanged | ServerChanged]:
        """What was taken up and is not told yet."""
        news, self._news = self._news, []
        return news

    def _take(self) -> None:
        # Servers list the same tools in any order; another in the prompt is another prefix, of
        # which nothing is in the cache.
        before = {name: place for place, name in enumerate(self.tools)}
        named = sorted(_named(self._given), key=lambda one: before.get(one[0], len(before)))
        self.tools = {name: tool for name, tool, _ in named}
        self.schemas: tuple[ToolSchema, ...] = tuple(tool.schema for tool in self.tools.values())
        self.names_by_source: dict[str, tuple[str, ...]] = {}
        for name, _, source in named:
            if source:
                held = self.names_by_source.get(source, ())
                self.names_by_source[source] = (*held, name)

    def _beside(self) -> list[tuple[str, dict[_Beside, int]]]:
        return [
            (source.name, {one: source.changed(one) for one in _BESIDE})
            for source in self._given
            if isinstance(source, ServingSource)
        ]


def tools_by_name(given: Sequence[ToolLike]) -> dict[str, Tool]:
    """Every tool by a name of its own.

    A function keeps its name. A source's tool keeps it if nothing else has it; otherwise the
    source's stands before it: ``git_search`` and ``mail_search``.

    Raises:
        ToolError: something is no tool, or two functions have one name.
    """
    return {name: tool for name, tool, _ in _named(given)}


def _named(given: Sequence[ToolLike]) -> Iterator[tuple[str, Tool, str]]:
    """Every tool, its name, and that of its source; of a function none."""
    for one in given:
        if not isinstance(one, Tool | ToolSource):
            raise ToolError(f"{one!r} is no tool; decorate the function with @tool")
    taken: set[str] = set()
    for one in given:
        if isinstance(one, Tool):
            if one.name in taken:
                raise ToolError(f"two tools are named {one.name!r}; rename one of the functions")
            taken.add(one.name)
    # Read once: a source may offer others in the next moment.
    offers = [("", (one,)) if isinstance(one, Tool) else (one.name, one.tools) for one in given]
    offered = [tool.name for source, tools in offers if source for tool in tools]
    clashing = {name for name in offered if offered.count(name) > 1 or name in taken}
    free = taken | (set(offered) - clashing)
    for source, tools in offers:
        for tool in tools:
            if not source or tool.name not in clashing:
                yield tool.name, tool, source
                continue
            name = _fresh(f"{source}_{tool.name}"[:_LONGEST_NAME], free)
            free.add(name)
            yield name, tool.renamed(name), source


def _fresh(name: str, taken: set[str]) -> str:
    number, fresh = 1, name
    while fresh in taken:
        number += 1
        end = f"_{number}"
        fresh = name[: _LONGEST_NAME - len(end)] + end
    return fresh


def _difference(before: dict[str, Tool], now: dict[str, Tool]) -> ToolsChanged:
    return ToolsChanged(
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in now),
        changed=tuple(
            name for name in now if name in before and now[name].schema != before[name].schema
        ),
    )
