"""The tools of an agent while sources change what they offer."""

from __future__ import annotations

from itertools import permutations

import pytest

from longctx.agents import ToolsChanged, tool
from longctx.agents.toolbox import Toolbox
from longctx.agents.tools import Tool


def named(name: str) -> Tool:
    """A tool of this name."""

    def function(x: int) -> str:
        return str(x)

    function.__name__, function.__doc__ = name, f"Do {name}."
    return tool(function)


TOOLS = {name: named(name) for name in "abcd"}


class Source:
    """What it offers is set from outside."""

    name = "s"

    def __init__(self, names: str) -> None:
        self.names = names

    @property
    def tools(self) -> tuple[Tool, ...]:
        """In this order."""
        return tuple(TOOLS[name] for name in self.names)


@pytest.mark.parametrize("order", ["".join(names) for names in permutations("abc")])
def test_another_order_is_no_change(order):
    """The prompt stays as it is, and the prefix cache with it; nothing is told."""
    source = Source("abc")
    box = Toolbox([named("own"), source])
    schemas = box.schemas
    source.names = order
    assert box.renew() is False
    assert (box.schemas, box.news()) == (schemas, [])


def test_what_is_new_stands_behind():
    """So that the prompt is the same up to there; what is gone leaves the others in place."""
    source = Source("bca")
    box = Toolbox([source, named("own")])
    source.names = "dacb"
    assert box.renew() is True
    assert [*box.tools] == ["b", "c", "a", "own", "d"]
    assert box.names_by_source == {"s": ("b", "c", "a", "d")}
    assert box.news() == [ToolsChanged(added=("d",), removed=(), changed=())]
    source.names = "adb"
    assert box.renew() is True
    assert [*box.tools] == ["b", "a", "own", "d"]
