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

from longctx import Chunk, Completion, Message, TemplateError, ToolCall

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


_SPEAKS = {role for role, name in _ROLES.items() if name == "assistant"}


def to_longctx(messages: Sequence[ChatMessage]) -> list[Message]:
    """Convert a conversation.

    Raises:
        TemplateError: a message holds something else than text and tool calls.
    """
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: ChatMessage) -> Message:
    calls, thoughts = [], []
    for block in message.blocks:
        match block:
            case ToolCallBlock():
                arguments = block.tool_kwargs
                if isinstance(arguments, str):
                    arguments = json.loads(arguments or "{}")
                call_id = block.tool_call_id or ""
                calls.append(ToolCall(id=call_id, name=block.tool_name, arguments=arguments))
            case ThinkingBlock():
                thoughts.append(block.content or "")
            case TextBlock():
                pass
            case _:
                raise TemplateError(
                    f"messages[{index}] holds a {type(block).__name__}; this model reads text "
                    "only: leave it out, or put what it says in words"
                )
    return Message(
        role=_ROLES[message.role],
        content=message.content or "",
        reasoning="".join(thoughts) if message.role in _SPEAKS else "",
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
        "reasoning_tokens": usage.reasoning_tokens,
    }


def response_of(result: Completion, *, delta: str | None = None) -> ChatResponse:
    """A whole answer, its thoughts and calls, and what it cost."""
    calls = [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments)
        for call in result.tool_calls
    ]
    usage = usage_of(result)
    return ChatResponse(
        message=_said(result.text, result.reasoning, calls, n_tokens=usage["reasoning_tokens"]),
        delta=delta,
        raw={
            "usage": usage,
            "finish_reason": result.finish_reason,
            "finish_detail": result.finish_detail,
            "window": result.window.model_dump(),
            "timings": result.timings.model_dump(),
        },
        additional_kwargs=usage,
    )


class StreamedAnswer:
    """What was streamed so far, as LlamaIndex shows it with each piece."""

    def __init__(self) -> None:
        self._text = self._reasoning = ""
        self._calls: dict[int, ToolCallBlock] = {}

    def with_piece(self, chunk: Chunk) -> ChatResponse:
        """The answer with one piece more; the last is the whole, and has what it cost."""
        if chunk.result is not None:
            return response_of(chunk.result, delta=chunk.text)
        self._text += chunk.text
        self._reasoning += chunk.reasoning
        for call in chunk.tool_calls:
            known = self._calls.get(call.index)
            if known is None:
                self._calls[call.index] = ToolCallBlock(
                    tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments
                )
            else:  # its JSON text so far
                written = f"{known.tool_kwargs}{call.arguments}"
                self._calls[call.index] = known.model_copy(update={"tool_kwargs": written})
        message = _said(self._text, self._reasoning, list(self._calls.values()))
        thought = {"thinking_delta": chunk.reasoning} if chunk.reasoning else {}
        return ChatResponse(message=message, delta=chunk.text, additional_kwargs=thought)


def _said(
    text: str, reasoning: str, calls: Sequence[ToolCallBlock], *, n_tokens: int | None = None
) -> ChatMessage:
    thoughts = [ThinkingBlock(content=reasoning, num_tokens=n_tokens)] if reasoning else []
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[*thoughts, TextBlock(text=text), *calls])
