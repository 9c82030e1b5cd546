"""LlamaIndex's messages to longctx's, and completions back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from longctx import Completion, Message, TemplateError, ToolCall

_ROLES: dict[MessageRole, Any] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_longctx(messages: Sequence[ChatMessage]) -> list[Message]:
    """Convert a conversation.

    Raises:
        TemplateError: a message holds something else than text and tool calls.
    """
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: ChatMessage) -> Message:
    calls = []
    for block in message.blocks:
        match block:
            case ToolCallBlock():
                arguments = block.tool_kwargs
                if isinstance(arguments, str):
                    arguments = json.loads(arguments or "{}")
                call_id = block.tool_call_id or ""
                calls.append(ToolCall(id=call_id, name=block.tool_name, arguments=arguments))
            case TextBlock() | ThinkingBlock():
                pass  # chat templates leave out what was thought in earlier turns
            case _:
                raise TemplateError(
                    f"messages[{index}] holds a {type(block).__name__}; this model reads text "
                    "only: leave it out, or put what it says in words"
                )
    return Message(
        role=_ROLES[message.role],
        content=message.content or "",
        tool_calls=tuple(calls),
        tool_call_id=message.additional_kwargs.get("tool_call_id"),
    )


def usage_of(result: Completion) -> dict[str, int]:
    """Exact tokens; ``cached_tokens`` of the prompt were not prefilled again."""
    usage = result.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def response_of(result: Completion, *, delta: str | None = None) -> ChatResponse:
    """A whole answer, its calls, and what it cost."""
    calls = [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments)
        for call in result.tool_calls
    ]
    usage = usage_of(result)
    return ChatResponse(
        message=ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[TextBlock(text=result.text), *calls]
        ),
        delta=delta,
        raw={
            "usage": usage,
            "finish_reason": result.finish_reason,
            "window": result.window.model_dump(),
            "timings": result.timings.model_dump(),
        },
        additional_kwargs=usage,
    )
