"""What stands between a request and its completion: the grammar before, the result after."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from longctx import arguments
from longctx._native import json_schema_to_grammar
from longctx.errors import BackendError, ToolError
from longctx.generation import Outcome
from longctx.protocols import ToolChoice
from longctx.tokens import CallFormat, check_tools, tool_grammar
from longctx.types import Chunk, Completion, Message, ToolCall, ToolSchema


def answer_grammar(
    tools: Sequence[ToolSchema] | None,
    tool_choice: ToolChoice,
    response_schema: Any,
    call_format: CallFormat = "json",
) -> str | None:
    """The GBNF grammar that holds an answer to its tools or its schema; None leaves it free.

    Raises:
        ToolError: a tool is malformed, ``tool_choice`` asks for one that is not there, or tools
            and a schema are both asked of one answer.
        RequestError: the schema is no JSON schema, or makes no grammar.
    """
    if response_schema is None:
        return tool_grammar(tools or (), tool_choice, call_format=call_format)
    arguments.tool_choice(tool_choice, tool_names(tools or ()))
    if tools and tool_choice != "none":
        raise ToolError(
            "one answer cannot be both a tool call and held to response_schema; pass "
            "tool_choice='none' with the schema, or leave one of them out"
        )
    return json_schema_to_grammar(arguments.json_schema(response_schema))


def tool_names(tools: Sequence[ToolSchema]) -> tuple[str, ...]:
    """The names that a call may have."""
    return tuple(tool["function"]["name"] for tool in check_tools(tools))


def outcome_of(chunks: Generator[Chunk, None, Outcome]) -> Outcome:
    """Read a stream to its end, showing nothing of it."""
    while True:
        try:
            next(chunks)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome


def completion_of(outcome: Outcome, text: str, calls: tuple[ToolCall, ...]) -> Completion:
    """Build the completion that the caller gets."""
    return Completion(
        text=text,
        message=Message(role="assistant", content=text, tool_calls=calls),
        finish_reason="tool_calls" if calls else outcome.finish_reason,
        usage=outcome.usage,
        timings=outcome.timings,
        window=outcome.window,
        logprobs=() if calls else outcome.logprobs,
    )


def result_of(chunks: Iterator[Chunk]) -> Completion:
    """Read a stream to its end."""
    *_, last = chunks
    if last.result is None:
        raise BackendError("the stream ended without a result")
    return last.result
