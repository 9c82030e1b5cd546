"""A typed function becomes a schema, and its calls are validated."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from longctx.agents import Agent, Tool, tool
from longctx.errors import ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall


class Place(BaseModel):
    title: str
    floor: int = 0


@tool
def find(
    query: str,
    limit: Annotated[int, Field(ge=1, description="At most so many.")] = 5,
    *,
    kind: Literal["note", "mail"] = "note",
    place: Place | None = None,
) -> dict[str, Any]:
    """Find notes
    by words.

    More that the model need not read.
    """
    return {"query": query, "limit": limit, "kind": kind, "place": place}


@tool
async def slow_double(n: int) -> int:
    """Double a number, slowly."""
    await asyncio.sleep(0.001)
    return 2 * n


def test_schema_says_what_the_signature_says():
    """Types, bounds, defaults, what is required, and no generated titles."""
    assert (find.name, find.description) == ("find", "Find notes by words.")
    schema = find.parameters
    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["query"] == {"type": "string"}
    assert schema["properties"]["limit"] == {
        "default": 5,
        "description": "At most so many.",
        "minimum": 1,
        "type": "integer",
    }
    assert schema["properties"]["kind"]["enum"] == ["note", "mail"]
    # A property that is called "title" is no generated title.
    assert schema["$defs"]["Place"]["properties"]["title"] == {"type": "string"}
    assert find.schema["function"]["parameters"] is schema


def test_call_validates_converts_and_fills_in():
    """Values arrive in the types that the function declares; the result is JSON."""
    text = find.call({"query": "x", "limit": "2", "place": {"title": "attic"}})
    assert text == '{"query":"x","limit":2,"kind":"note","place":{"title":"attic","floor":0}}'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "query: Missing"),
        ({"query": "x", "limit": 0}, "limit: .*greater than or equal to 1"),
        ({"query": "x", "wrong": 1}, "wrong: Unexpected.*parameters are: query, limit"),
        ({"query": "x", "kind": "sms"}, "'note' or 'mail'"),
        ({"query": "x", "place": {}}, "place.title"),
        ("query", "dict"),
    ],
)
def test_wrong_arguments_say_which_and_why(arguments, message):
    """The message is what the model will read to correct itself."""
    with pytest.raises(ToolError, match=message):
        find.call(arguments)


def test_async_tools_run_with_and_without_a_loop():
    """A coroutine function runs to its end, also when the caller is in a loop itself."""

    async def inside() -> str:
        return slow_double.call({"n": 4})

    assert slow_double.call({"n": 3}) == "6"
    assert asyncio.run(inside()) == "8"


def test_what_a_generator_yields_is_a_list():
    """Of any kind; what goes wrong in it is its own exception."""

    @tool
    def count(n: int) -> Iterator[int]:
        """Count up to ten."""
        for i in range(n):
            if i == 10:
                raise OverflowError("that is too far")
            yield i

    @tool
    async def count_async(n: int) -> AsyncIterator[int]:
        """Count."""
        for i in count(n):
            yield i

    for one in (count, count_async):
        assert one.call({"n": 3}) == "[0,1,2]"
        with pytest.raises(OverflowError, match="too far"):
            one.call({"n": 11})


def test_what_is_cancelled_inside_of_a_tool_is_the_tools():
    """It is no ``Exception``, and no reason for the run to end."""

    @tool
    async def give_up() -> None:
        """Wait for what was cancelled."""
        waiting = asyncio.ensure_future(asyncio.sleep(9))
        waiting.cancel()
        await waiting

    llm = ScriptedChatModel([ToolCall(id="1", name="give_up", arguments={}), "I see."])
    agent = Agent(llm, tools=[give_up])
    assert agent.run("go").text == "I see."
    assert agent.transcript[-2].content.startswith("Error: CancelledError")


def test_a_tool_is_still_its_function():
    """Decorating takes nothing away."""
    assert find("x", 1)["limit"] == 1
    assert find.__name__ == "find"


def test_methods_can_be_tools():
    """A bound method does not show its self."""

    class Notes:
        def read(self, name: str) -> str:
            """Read a note."""
            return f"note {name}"

    assert tool(Notes().read).call({"name": "a"}) == "note a"


def undocumented(a: int) -> int:  # noqa: D103  # the missing docstring is what is tested
    return a


def untyped(a) -> int:
    """Say."""
    return a


def positional(a: int, /) -> int:
    """Say."""
    return a


def variadic(*a: int) -> int:
    """Say."""
    return len(a)


def keywords(**a: int) -> int:
    """Say."""
    return len(a)


def unschemable(a: asyncio.Lock) -> int:
    """Say."""
    return 1


def unresolved(a: "Nowhere") -> int:  # noqa: F821  # the missing name is what is tested
    """Say."""
    return 1


@pytest.mark.parametrize(
    "function",
    [
        undocumented,
        untyped,
        positional,
        variadic,
        keywords,
        unschemable,
        unresolved,
        lambda a: a,
        min,
        5,
        Place,
        None,
    ],
)
def test_what_cannot_be_described_is_no_tool(function):
    """Each is refused when it is decorated, not when a model first calls it."""
    with pytest.raises(ToolError):
        tool(function)


@pytest.mark.parametrize("result", [object(), "lone \ud800", b"\xff\xfe"])
def test_results_that_have_no_words(result):
    """A result that neither is text nor JSON is an error of the tool."""

    def produce() -> Any:
        """Produce it."""
        return result

    with pytest.raises(ToolError, match="put in words"):
        Tool(produce).call({})


def test_own_exceptions_pass_through():
    """Who calls a tool by hand sees what the function raises."""

    @tool
    def fail() -> str:
        """Fail."""
        raise KeyError("gone")

    with pytest.raises(KeyError):
        fail.call({})
