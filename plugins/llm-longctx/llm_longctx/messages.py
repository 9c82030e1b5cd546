"""llm's messages, tools and answers to longctx's, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import llm
from llm.parts import ReasoningPart, StreamEvent, TextPart, ToolCallPart, ToolResultPart

from llm_longctx.errors import LongCtxModelError

if TYPE_CHECKING:
    from longctx import Completion


def to_longctx(messages: Sequence[llm.Message]) -> list[dict[str, Any]]:
    """Convert a conversation to OpenAI-style dicts.

    Raises:
        LongCtxModelError: a message holds something else than text, calls and their results.
    """
    return [turn for message in messages for turn in _turns(message)]


def _turns(message: llm.Message) -> Iterator[dict[str, Any]]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case TextPart():
                texts.append(part.text)
            case ToolCallPart():
                calls.append(
                    {"id": part.tool_call_id or "", "name": part.name, "arguments": part.arguments}
                )
            case ToolResultPart():
                yield {
                    "role": "tool",
                    "content": _result(part),
                    "tool_call_id": part.tool_call_id,
                    "name": part.name,
                }
            case ReasoningPart():
                thoughts.append(part.text)
            case _:
                raise LongCtxModelError(
                    f"a message of the {message.role} holds a {type(part).__name__}; this model "
                    "reads text only. For a document use the fragment loader: -f longctx:PATH"
                )
    if texts or calls or thoughts:  # an answer may be cut while the model thinks
        yield {
            "role": message.role,
            "content": "".join(texts),
            "reasoning": "".join(thoughts),
            "tool_calls": calls,
        }


def _result(part: ToolResultPart) -> str:
    """What a tool returned; what is no text is only named."""
    kinds = (getattr(one, "type", None) or "unknown" for one in part.attachments)
    return "\n".join([*filter(None, [part.output]), *(f"[{kind}, not shown]" for kind in kinds)])


def schemas_of(tools: Sequence[llm.Tool | llm.ServerSideTool]) -> list[dict[str, Any]]:
    """The tools in OpenAI's form; llm itself refuses tools that run on a server."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.input_schema,
            },
        }
        for tool in tools
        if isinstance(tool, llm.Tool)
    ]


def thought(text: str) -> Iterator[StreamEvent]:
    """What the model thinks, which ``llm`` shows dim on stderr, and not as the answer."""
    if text:
        yield StreamEvent(type="reasoning", chunk=text)


def finish(response: llm.Response | llm.AsyncResponse, result: Completion) -> Iterator[StreamEvent]:
    """Note what an answer cost and which tools it calls."""
    usage = result.usage
    response.set_usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        details={
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        },
    )
    response.response_json = {
        "finish_reason": result.finish_reason,
        "finish_detail": result.finish_detail,
        "window": result.window.model_dump(),
        "timings": result.timings.model_dump(),
    }
    for call in result.tool_calls:
        response.add_tool_call(
            llm.ToolCall(name=call.name, arguments=call.arguments, tool_call_id=call.id)
        )
        yield StreamEvent(type="tool_call_name", chunk=call.name, tool_call_id=call.id)
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        yield StreamEvent(type="tool_call_args", chunk=arguments, tool_call_id=call.id)
