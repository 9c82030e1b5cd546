"""What clients of the Messages API get."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict

from longctx.server.report import Report

StopReason: TypeAlias = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class TextContent(TypedDict):
    """Words."""

    type: Literal["text"]
    text: str
    citations: None


class ThinkingContent(TypedDict):
    """Thoughts, which nobody signs here: clients send a signature back, and look whether there is
    one."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseContent(TypedDict):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


Content: TypeAlias = TextContent | ThinkingContent | ToolUseContent


class ThinkingTokens(TypedDict):
    """Tokens of an answer that were thoughts."""

    thinking_tokens: int


class MessageUsage(TypedDict):
    """Tokens of one answer.

    The prompt's are those that were prefilled (``input_tokens``) and those that were not prefilled
    again (``cache_read_input_tokens``). What is kept costs nothing, so none of it is counted as
    written to the cache.
    """

    input_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: Literal[0]
    output_tokens: int
    output_tokens_details: NotRequired[ThinkingTokens]


class MessageDocument(TypedDict):
    """A whole answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Content]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    longctx: NotRequired[Report]


class TokenCount(TypedDict):
    """What a conversation comes to."""

    input_tokens: int


class AnthropicError(TypedDict):
    """What happened."""

    type: str
    message: str


class AnthropicErrorDocument(TypedDict):
    """An error in Anthropic's shape."""

    type: Literal["error"]
    error: AnthropicError


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": AnthropicErrorDocument, "description": "The request was refused."},
    "5XX": {"model": AnthropicErrorDocument, "description": "The server failed."},
}
"""What any route may answer."""
