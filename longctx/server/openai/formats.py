"""Completions and chunks as OpenAI's JSON documents."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence

from longctx.server.answer_format import frame
from longctx.server.asked import Asked
from longctx.server.errors import ApiError
from longctx.server.openai.documents import (
    AssistantMessage,
    Call,
    CallDelta,
    ChatChunk,
    ChatCompletion,
    ChatLogprobs,
    Delta,
    Head,
    TextChoice,
    TextCompletion,
    UsageDocument,
)
from longctx.server.openai.errors import error_document
from longctx.server.openai.logprobs import answer_token, columns
from longctx.server.report import report
from longctx.types import (
    Chunk,
    Completion,
    FinishReason,
    SampledToken,
    ToolCall,
    ToolCallDelta,
    Usage,
)

DONE = "data: [DONE]\n\n"
"""How every stream ends that is whole."""


class ChatFormat:
    """``chat.completion`` and ``chat.completion.chunk`` of one answer.

    Args:
        model: the name of the model.
        asked: what is answered.
        include_usage: whether a last chunk of a stream counts the tokens.
    """

    def __init__(self, model: str, asked: Asked, *, include_usage: bool) -> None:
        self._head = _head(model)
        self._has_logprobs = "top_logprobs" in asked.options
        self._include_usage = include_usage

    def whole(self, result: Completion) -> ChatCompletion:
        """One choice with its message."""
        message: AssistantMessage = {"role": "assistant", "content": result.text, "refusal": None}
        if result.reasoning:
            message["reasoning_content"] = result.reasoning
        if result.tool_calls:
            message["tool_calls"] = [_call(call) for call in result.tool_calls]
            message["content"] = result.text or None
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": self._logprobs(result.logprobs),
                    "finish_reason": result.finish_reason,
                }
            ],
            "usage": usage_document(result.usage),
            "longctx": report(result),
        }

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """Who speaks."""
        yield frame(self._chunk({"role": "assistant", "content": ""}))

    def piece(self, chunk: Chunk) -> Iterator[str]:
        """Some of what is thought, said or called."""
        delta: Delta = {}
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = [_call_delta(call) for call in chunk.tool_calls]
        if chunk.text or not delta:
            delta["content"] = chunk.text
        yield frame(self._chunk(delta, self._logprobs(chunk.logprobs)))

    def ending(self, result: Completion) -> Iterator[str]:
        """Why it ended, and the window; then the tokens of all of it, in a chunk without choice."""
        last = self._chunk({}, None, result.finish_reason)
        last["longctx"] = report(result)
        yield frame(last)
        if self._include_usage:
            counts = self._chunk({})
            counts["choices"] = []
            counts["usage"] = usage_document(result.usage)
            yield frame(counts)
        yield DONE

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error))

    def _chunk(
        self,
        delta: Delta,
        logprobs: ChatLogprobs | None = None,
        finish_reason: FinishReason | None = None,
    ) -> ChatChunk:
        return {
            "id": self._head["id"],
            "created": self._head["created"],
            "model": self._head["model"],
            "object": "chat.completion.chunk",
            "choices": [
                {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
            ],
        }

    def _logprobs(self, tokens: Sequence[SampledToken]) -> ChatLogprobs | None:
        if not self._has_logprobs:
            return None
        return {"content": [answer_token(token) for token in tokens], "refusal": None}


class TextFormat:
    """``text_completion``, whose chunks have the same kind.

    Args:
        model: the name of the model.
        asked: what is answered.
        include_usage: whether a last chunk of a stream counts the tokens.
    """

    def __init__(self, model: str, asked: Asked, *, include_usage: bool) -> None:
        self._head = _head(model)
        self._has_logprobs = "top_logprobs" in asked.options
        self._include_usage = include_usage

    def whole(self, result: Completion) -> TextCompletion:
        """One choice with its text."""
        document = self._document(result.text, result.logprobs, result.finish_reason)
        document["usage"] = usage_document(result.usage)
        document["longctx"] = report(result)
        return document

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """No text yet."""
        yield frame(self._document(""))

    def piece(self, chunk: Chunk) -> Iterator[str]:
        """Some of the text."""
        yield frame(self._document(chunk.text, chunk.logprobs))

    def ending(self, result: Completion) -> Iterator[str]:
        """Why it ended, and the window; then the tokens of all of it, in a chunk without choice."""
        last = self._document("", (), result.finish_reason)
        last["longctx"] = report(result)
        yield frame(last)
        if self._include_usage:
            counts = self._document("")
            counts["choices"] = []
            counts["usage"] = usage_document(result.usage)
            yield frame(counts)
        yield DONE

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error))

    def _document(
        self,
        text: str,
        tokens: Sequence[SampledToken] = (),
        finish_reason: FinishReason | None = None,
    ) -> TextCompletion:
        choice: TextChoice = {
            "index": 0,
            "text": text,
            "logprobs": columns(tokens) if self._has_logprobs else None,
            "finish_reason": finish_reason,
        }
        return {
            "id": self._head["id"],
            "created": self._head["created"],
            "model": self._head["model"],
            "object": "text_completion",
            "choices": [choice],
        }


def usage_document(usage: Usage) -> UsageDocument:
    """OpenAI's ``usage``; ``cached_tokens`` is what was not prefilled again."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _head(model: str) -> Head:
    return {"id": uuid.uuid4().hex, "created": int(time.time()), "model": model}


def _call(call: ToolCall) -> Call:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _call_delta(call: ToolCallDelta) -> CallDelta:
    """OpenAI's first piece of a call has its id, its name and no arguments yet."""
    if not call.id:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {
        "index": call.index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
