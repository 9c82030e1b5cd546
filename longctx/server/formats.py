"""Completions and chunks as OpenAI's JSON documents."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from longctx.types import Completion, ToolCall, Usage


class AnswerFormat(Protocol):
    """How one kind of answer is written down, whole or in pieces."""

    def whole(self, result: Completion) -> dict[str, Any]:
        """The document of an answer that is not streamed."""

    def opening(self) -> dict[str, Any]:
        """The first chunk."""

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk of text."""

    def ending(self, result: Completion) -> dict[str, Any]:
        """The last chunk with a choice: tool calls, why it ended, the window."""

    def counts(self, result: Completion) -> dict[str, Any]:
        """The chunk of ``stream_options.include_usage``, which has no choice."""


@dataclass(frozen=True)
class _Format:
    model: str
    kind: Literal["chat.completion", "text_completion"]
    chunk_kind: Literal["chat.completion.chunk", "text_completion"]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def _document(self, kind: str, choice: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        choices = [] if choice is None else [{"index": 0, "logprobs": None, **choice}]
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }

    def _chunk(self, choice: dict[str, Any], ended: str | None = None) -> dict[str, Any]:
        return self._document(self.chunk_kind, {**choice, "finish_reason": ended})

    def counts(self, result: Completion) -> dict[str, Any]:
        return self._document(self.chunk_kind, None, usage=usage_document(result.usage))


class ChatFormat(_Format):
    """``chat.completion`` and ``chat.completion.chunk``."""

    def __init__(self, model: str) -> None:
        super().__init__(model, "chat.completion", "chat.completion.chunk")

    def whole(self, result: Completion) -> dict[str, Any]:
        """One choice with its message."""
        message: dict[str, Any] = {"role": "assistant", "content": result.text, "refusal": None}
        if result.tool_calls:
            message["tool_calls"] = [_call(call) for call in result.tool_calls]
            message["content"] = result.text or None
        choice = {"message": message, "finish_reason": result.finish_reason}
        return self._document(self.kind, choice, **_costs(result))

    def opening(self) -> dict[str, Any]:
        """Who speaks."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}})

    def piece(self, text: str) -> dict[str, Any]:
        """Some of what is said."""
        return self._chunk({"delta": {"content": text}})

    def ending(self, result: Completion) -> dict[str, Any]:
        """Calls come whole, in one delta."""
        calls = [{"index": i, **_call(call)} for i, call in enumerate(result.tool_calls)]
        delta = {"tool_calls": calls} if calls else {}
        return {**self._chunk({"delta": delta}, result.finish_reason), "longctx": _window(result)}


class TextFormat(_Format):
    """``text_completion``, whose chunks have the same kind."""

    def __init__(self, model: str) -> None:
        super().__init__(model, "text_completion", "text_completion")

    def whole(self, result: Completion) -> dict[str, Any]:
        """One choice with its text."""
        choice = {"text": result.text, "finish_reason": result.finish_reason}
        return self._document(self.kind, choice, **_costs(result))

    def opening(self) -> dict[str, Any]:
        """No text yet."""
        return self.piece("")

    def piece(self, text: str) -> dict[str, Any]:
        """Some of the text."""
        return self._chunk({"text": text})

    def ending(self, result: Completion) -> dict[str, Any]:
        """Why it ended."""
        return {**self._chunk({"text": ""}, result.finish_reason), "longctx": _window(result)}


def usage_document(usage: Usage) -> dict[str, Any]:
    """OpenAI's ``usage``; ``cached_tokens`` is what was not prefilled again."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _costs(result: Completion) -> dict[str, Any]:
    return {"usage": usage_document(result.usage), "longctx": _window(result)}


def _window(result: Completion) -> dict[str, Any]:
    """Beside OpenAI's members: what happened to the window, and the seconds it took."""
    return {"window": result.window.model_dump(), "timings": result.timings.model_dump()}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
