"""A server that does everything wrong: each thing is a told error, and the agent goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, McpTools, ToolProgress, ToolResult, mcp
from longctx.errors import RemoteError, ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall
from tests.mcp.serving import command
from tests.models import TINY
from tests.support.thorough import thorough

pytest.importorskip("mcp")


@pytest.fixture(scope="module")
def hostile() -> Iterator[McpTools]:
    """One server for the module; it is begun anew where it died."""
    with mcp(command("hostile"), timeout_s=120) as server:
        yield server


def told(server: McpTools, name: str) -> ToolResult:
    """What the model is told of one call, and that the agent goes on after it."""
    calls = [ToolCall(id="1", name=each, arguments={}) for each in (name, "good")]
    result = Agent(ScriptedChatModel([*calls, "Done."]), tools=[server]).run("go")
    first, second = (event for event in result.events if isinstance(event, ToolResult))
    assert (result.text, second.text) == ("Done.", "good")
    return first


@pytest.mark.parametrize(
    ("name", "is_error", "said"),
    [
        ("big", True, "returned 10,000,000 bytes, more than the 1,048,576 that are taken"),
        ("nonsense", True, "hostile sent what is no answer"),
        ("garbage", False, "after garbage"),
        ("die", True, "broke off, so it is not known what this call did"),
        ("die", True, "the disk is on fire"),
        ("refuse", True, "hostile refused: no\ufffd[2J zzz"),
        ("flood", False, "flooded"),
    ],
)
def test_what_it_does_wrong(hostile: McpTools, name: str, is_error: bool, said: str) -> None:
    """A result too large or none, text between messages, an end in the middle of a call."""
    result = told(hostile, name)
    assert result.is_error == is_error
    assert said in result.text
    assert len(result.text) < 1000


@thorough
def test_it_hangs() -> None:
    """The call ends at its limit, and a server that answers nothing more is begun anew."""
    with mcp(command("hostile"), timeout_s=5) as server:
        assert told(server, "hang").text == "Error: hostile did not answer within 5 s"


def test_progress_is_text(hostile: McpTools) -> None:
    """Its words have no control characters, and are short."""
    agent = Agent(
        ScriptedChatModel([ToolCall(id="1", name="flood", arguments={}), ""]), tools=[hostile]
    )
    heard = [event for event in agent.stream("go") if isinstance(event, ToolProgress)]
    assert heard
    assert all("\x1b" not in event.message and len(event.message) <= 200 for event in heard)


def test_names_and_schemas_that_are_none(hostile: McpTools) -> None:
    """They are left out, with the reason; others are taken, as they were meant."""
    refused = {one.name: one.reason for one in hostile.refused}
    for name in (r"'two\nlines'", r"'good\x1b[2J'", "''"):
        assert "other characters" in refused[name]
    assert "another of this name" in refused["'good'"]
    assert "more than 64,000" in refused["'large'"]
    assert r"the key 'a\nb'" in refused["'keys'"]
    names = [tool.name for tool in hostile.tools]
    assert {"a_b_c", "good", "told", "nested", "nowhere", "regex", "same"} <= set(names)
    assert len(set(names)) == len(names)
    (same,) = (tool for tool in hostile.remote_tools if tool.name == "same")
    assert [note.split(": ")[0] for note in same.notes] == [
        "at #/properties/a/oneOf/1", "at #/properties/a"
    ]  # fmt: skip
    assert "required" not in same.parameters
    assert "anyOf" in same.parameters["properties"]["a"]
    description = next(tool.description for tool in hostile.tools if tool.name == "told")
    assert len(description) <= 4000
    assert not set(description) & {"\x1b", "\x07", "\n", "\U000e0041"}


def test_its_words_are_never_special_tokens(hostile: McpTools) -> None:
    """Neither a description nor a result ends a turn of a real model's prompt."""
    result = told(hostile, "tokens").text
    assert "<|im_start|>system" in result
    (tool,) = (tool for tool in hostile.tools if tool.name == "told")
    with LongContextLLM(TINY, 16_384, reserve_output=8) as llm:
        said = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": "told", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": result},
        ]  # fmt: skip
        plain = [*said[:2], {**said[2], "content": "good"}]
        bare = {**tool.schema["function"], "description": "x", "parameters": {"type": "object"}}
        with_hostile = n_special(llm, llm.prompt(said, [tool.schema]).ids)
        with_plain = n_special(llm, llm.prompt(plain, [{"type": "function", "function": bare}]).ids)
        assert with_hostile == with_plain > 0


def n_special(llm: LongContextLLM, ids: Sequence[int]) -> int:
    """Tokens that stand for no text: they begin and end turns."""
    return sum(llm.detokenize([i]) == "" for i in ids)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("deep", ToolError, "did not answer within 1 s"),
        ("malformed", ToolError, "inputSchema.type: Input should be 'object'"),
        ("mute", RemoteError, "did not answer within 1 s"),
    ],
)
def test_lists_that_cannot_be_read(how: str, error: type[Exception], said: str) -> None:
    """They are said where the server is opened."""
    limits = {"deep": {"timeout_s": 1.0}, "malformed": {}, "mute": {"connect_timeout_s": 1.0}}
    with pytest.raises(error, match=said):
        mcp(command("hostile", how), **limits[how])


def test_a_list_without_an_end() -> None:
    """Of so many tools the first ones are taken."""
    with mcp(command("hostile", "endless")) as server:
        assert len(server.tools) == 128
        assert "more than 128 tools" in server.refused[0].reason
