"""Completions and chunks as OpenAI's JSON documents."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from longctx.server.responses import (
    AnswerToken,
    AssistantMessage,
    Call,
    CallDelta,
    ChatChunk,
    ChatCompletion,
    ChatLogprobs,
    Delta,
    Head,
    Report,
    TextChoice,
    TextCompletion,
    TextLogprobs,
    TokenLikelihood,
    UsageDocument,
)
from longctx.types import (
    Chunk,
    Completion,
    FinishReason,
    SampledToken,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

Document = Mapping[str, Any]


class AnswerFormat(Protocol):
    """How one kind of answer is written down, whole or in pieces."""

    def whole(self, result: Completion) -> Document:
        """The document of an answer that is not streamed."""

    def opening(self) -> Document:
        """The first chunk."""

    def piece(self, chunk: Chunk) -> Document:
        """What was written next."""

    def ending(self, result: Completion) -> Document:
        """The last chunk with a choice: why it ended, the window."""

    def counts(self, result: Completion) -> Document:
        """The chunk of ``stream_options.include_usage``, which has no choice."""


class ChatFormat:
    """``chat.completion`` and ``chat.completion.chunk`` of one answer.

    Args:
        model: the name that the client gave.
        logprobs: whether it asked for them.
    """

    def __init__(self, model: str, *, logprobs: bool) -> None:
        self._head = _head(model)
        self._asked = logprobs
        self._streamed: list[str] = []

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
            "longctx": _report(result),
        }

    def opening(self) -> ChatChunk:
        """Who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, chunk: Chunk) -> ChatChunk:
        """Some of what is thought, said or called."""
        delta: Delta = {}
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = [_call_delta(call) for call in chunk.tool_calls]
            self._streamed += [call.id for call in chunk.tool_calls if call.id]
        if chunk.text or not delta:
            delta["content"] = chunk.text
        return self._chunk(delta, self._logprobs(chunk.logprobs))

    def ending(self, result: Completion) -> ChatChunk:
        """Calls that a model did not stream come whole; none comes twice."""
        delta: Delta = {}
        calls = [call for call in result.tool_calls if call.id not in self._streamed]
        if calls:
            first = len(self._streamed)
            delta["tool_calls"] = [_whole_delta(i, call) for i, call in enumerate(calls, first)]
        chunk = self._chunk(delta, None, result.finish_reason)
        chunk["longctx"] = _report(result)
        return chunk

    def counts(self, result: Completion) -> ChatChunk:
        """The tokens of the whole answer."""
        chunk = self._chunk({})
        chunk["choices"] = []
        chunk["usage"] = usage_document(result.usage)
        return chunk

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
        if not self._asked:
            return None
        return {"content": [_answer_token(token) for token in tokens], "refusal": None}


class TextFormat:
    """``text_completion``, whose chunks have the same kind.

    Args:
        model: the name that the client gave.
        logprobs: whether it asked for them.
    """

    def __init__(self, model: str, *, logprobs: bool) -> None:
        self._head = _head(model)
        self._asked = logprobs

    def whole(self, result: Completion) -> TextCompletion:
        """One choice with its text."""
        document = self._document(result.text, result.logprobs, result.finish_reason)
        document["usage"] = usage_document(result.usage)
        document["longctx"] = _report(result)
        return document

    def opening(self) -> TextCompletion:
        """No text yet."""
        return self._document("")

    def piece(self, chunk: Chunk) -> TextCompletion:
        """Some of the text."""
        return self._document(chunk.text, chunk.logprobs)

    def ending(self, result: Completion) -> TextCompletion:
        """Why it ended."""
        document = self._document("", (), result.finish_reason)
        document["longctx"] = _report(result)
        return document

    def counts(self, result: Completion) -> TextCompletion:
        """The tokens of the whole answer."""
        document = self._document("")
        document["choices"] = []
        document["usage"] = usage_document(result.usage)
        return document

    def _document(
        self,
        text: str,
        tokens: Sequence[SampledToken] = (),
        finish_reason: FinishReason | None = None,
    ) -> TextCompletion:
        choice: TextChoice = {
            "index": 0,
            "text": text,
            "logprobs": _columns(tokens) if self._asked else None,
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


def _report(result: Completion) -> Report:
    return {
        "window": result.window.model_dump(),
        "timings": result.timings.model_dump(),
        "finish_detail": result.finish_detail,
    }


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


def _whole_delta(index: int, call: ToolCall) -> CallDelta:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return _call_delta(ToolCallDelta(index=index, id=call.id, name=call.name, arguments=arguments))


def _likelihood(token: TokenLogprob) -> TokenLikelihood:
    return {"token": _name(token), "logprob": token.logprob, "bytes": list(token.data)}


def _answer_token(token: SampledToken) -> AnswerToken:
    return {**_likelihood(token), "top_logprobs": [_likelihood(other) for other in token.top]}


def _columns(tokens: Sequence[SampledToken]) -> TextLogprobs:
    """The token that was taken is always among the top ones, as with OpenAI."""
    return {
        "tokens": [_name(token) for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            {_name(other): other.logprob for other in (*token.top, token)} for token in tokens
        ],
        "text_offset": [token.offset for token in tokens],
    }


def _name(token: TokenLogprob) -> str:
    r"""Its text, or ``bytes:\xe2\x82`` where it is a part of a character, as OpenAI has it."""
    try:
        return token.data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)
