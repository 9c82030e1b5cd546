"""LangChain's messages to longctx's, and completions back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk

from longctx import Chunk, Completion, Message, TemplateError, ToolCall
from longctx.types import as_messages

REASONING = "reasoning_content"
"""Where LangChain's integrations keep what a model thought: in ``additional_kwargs``."""
# An assistant's blocks that are no text of its answer: its calls stand in ``tool_calls``.
_NOT_SAID = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "function_call", "thinking", "reasoning"}
)


def to_longctx(messages: Sequence[BaseMessage]) -> list[Message]:
    """Convert a conversation.

    Raises:
        TemplateError: a message is of an unknown kind, or holds something else than text.
    """
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: BaseMessage) -> Message:
    text = _text(index, message)
    match message:
        case SystemMessage():
            return Message(role="system", content=text)
        case HumanMessage():
            return Message(role="user", content=text, name=message.name)
        case AIMessage():
            calls = tuple(
                ToolCall(id=call["id"] or "", name=call["name"], arguments=call["args"])
                for call in message.tool_calls
            )
            return Message(
                role="assistant", content=text, reasoning=_reasoning(message), tool_calls=calls
            )
        case ToolMessage():
            return Message(
                role="tool", content=text, tool_call_id=message.tool_call_id, name=message.name
            )
        case ChatMessage():
            return as_messages([{"role": message.role, "content": text}])[0]
    raise TemplateError(
        f"messages[{index}] is a {type(message).__name__}; use a SystemMessage, HumanMessage, "
        "AIMessage or ToolMessage"
    )


def _text(index: int, message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text":
            parts.append(str(block["text"]))
        elif not (isinstance(message, AIMessage) and block.get("type") in _NOT_SAID):
            raise TemplateError(
                f"messages[{index}] holds a block of type {block.get('type')!r}; this model reads "
                "text only: leave it out, or put what it says in words"
            )
    return "".join(parts)


def _reasoning(message: AIMessage) -> str:
    """What it thought, as this integration keeps it, or in blocks as others do."""
    if isinstance(kept := message.additional_kwargs.get(REASONING), str):
        return kept
    blocks = message.content if isinstance(message.content, list) else []
    parts = []
    for block in blocks:
        if isinstance(block, dict) and block.get("type") in ("reasoning", "thinking"):
            parts.append(str(block.get(block["type"]) or ""))
    return "".join(parts)


def usage_of(result: Completion) -> UsageMetadata:
    """Exact tokens; ``cache_read`` is what was not prefilled again."""
    usage = result.usage
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


def metadata_of(result: Completion, model_name: str) -> dict[str, Any]:
    """Why the answer ended, what happened to the window, and how long it took."""
    return {
        "model_name": model_name,
        "model_provider": "longctx",
        "finish_reason": result.finish_reason,
        "finish_detail": result.finish_detail,
        "window": result.window.model_dump(),
        "timings": result.timings.model_dump(),
    }


def answer_of(result: Completion, model_name: str) -> AIMessage:
    """A whole answer."""
    return AIMessage(
        content=result.text,
        additional_kwargs=_thought(result.reasoning),
        tool_calls=[
            tool_call(name=call.name, args=call.arguments, id=call.id) for call in result.tool_calls
        ],
        usage_metadata=usage_of(result),
        response_metadata=metadata_of(result, model_name),
    )


def chunk_of(piece: Chunk, model_name: str) -> AIMessageChunk:
    """A piece of a streamed answer: thoughts, text or calls; the last also has what it cost."""
    message = AIMessageChunk(
        content=piece.text,
        additional_kwargs=_thought(piece.reasoning),
        tool_call_chunks=[
            tool_call_chunk(
                name=call.name or None, args=call.arguments, id=call.id or None, index=call.index
            )
            for call in piece.tool_calls
        ],
    )
    if piece.result is not None:
        message.usage_metadata = usage_of(piece.result)
        message.response_metadata = metadata_of(piece.result, model_name)
        message.chunk_position = "last"
    return message


def _thought(reasoning: str) -> dict[str, Any]:
    return {REASONING: reasoning} if reasoning else {}
