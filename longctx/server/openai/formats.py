"""Completions and chunks as OpenAI's JSON documents."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx import __version__
from longctx.server.answer_format import comment, frame
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
from longctx.server.timings import (
    TimingsSoFar,
    from_the_start,
    native_timings,
    prompt_progress,
)
from longctx.types import (
    Chunk,
    Completion,
    FinishReason,
    Progress,
    SampledToken,
    ToolCall,
    ToolCallDelta,
    Usage,
)

DONE = "data: [DONE]\n\n"
"""How every stream ends that is whole."""


@dataclass(frozen=True)
class StreamExtras:
    """What a stream has besides the answer.

    Attributes:
        usage: a last chunk that counts the tokens.
        progress: chunks that tell of the prefill, in place of comments.
        timings: those so far, with each piece.
        logprobs: likelihoods of tokens; an answer that is not streamed has them, too.
    """

    usage: bool = False
    progress: bool = False
    timings: bool = False
    logprobs: bool = False


class _Format:
    """What chats and texts share.

    Args:
        head: what every document begins with.
        n_asked: answers in all.
        n_choices: answers that each prompt gets.
        extras: of a stream.
    """

    def __init__(self, head: Head, n_asked: int, n_choices: int, extras: StreamExtras) -> None:
        self._head = head
        self._n_choices = n_choices
        self._extras = extras
        self._so_far = TimingsSoFar(n_asked) if extras.timings else None
        self._is_unread = True

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error))

    def _told(self, progress: Progress) -> Iterator[Progress]:
        """What is told of a prefill in chunks."""
        for each in from_the_start(progress, is_first=self._is_unread):
            if self._so_far is not None:
                self._so_far.read(each)
            if self._extras.progress:
                yield each
        self._is_unread = False

    def _time(self, told: ChatChunk | TextCompletion) -> None:
        if self._so_far is not None:
            told["timings"] = self._so_far.before

    def _usage(self, results: Sequence[Completion]) -> UsageDocument:
        """Of all of them; a prompt with several answers counts once, as it was read."""
        read = [result.usage for result in results[:: self._n_choices]]
        return usage_document(
            Usage(
                prompt_tokens=sum(usage.prompt_tokens for usage in read),
                cached_tokens=sum(usage.cached_tokens for usage in read),
                prefilled_tokens=sum(usage.prefilled_tokens for usage in read),
                completion_tokens=sum(result.usage.completion_tokens for result in results),
                reasoning_tokens=sum(result.usage.reasoning_tokens for result in results),
                is_estimate=any(usage.is_estimate for usage in read),
            )
        )


class ChatFormat(_Format):
    """``chat.completion`` and ``chat.completion.chunk``.

    Args:
        model: the name of the model.
        asked: what is answered, once for each choice.
        extras: of a stream.
    """

    def __init__(self, model: str, asked: Sequence[Asked], extras: StreamExtras) -> None:
        super().__init__(_head("chatcmpl", model), len(asked), len(asked), extras)

    def whole(self, results: Sequence[Completion]) -> ChatCompletion:
        """Choices with their messages; the report is the first one's."""
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": index,
                    "message": _message(result),
                    "logprobs": self._logprobs(result.logprobs),
                    "finish_reason": result.finish_reason,
                }
                for index, result in enumerate(results)
            ],
            "usage": self._usage(results),
            "timings": native_timings(results[0]),
            "longctx": report(results[0]),
        }

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """Who speaks."""
        for index in range(self._n_choices):
            yield frame(self._chunk(index, {"role": "assistant", "content": None}))

    def progress(self, progress: Progress) -> Iterator[str]:
        """In a chunk without text, or in a comment."""
        for each in self._told(progress):
            told = self._chunk(0, {})
            told["prompt_progress"] = prompt_progress(each)
            self._time(told)
            yield frame(told)
        if not self._extras.progress:
            yield comment(progress)

    def piece(self, index: int, chunk: Chunk) -> Iterator[str]:
        """Some of what is thought, said or called."""
        delta: Delta = {}
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = [_call_delta(call) for call in chunk.tool_calls]
        if chunk.text or not delta:
            delta["content"] = chunk.text
        told = self._chunk(index, delta, self._logprobs(chunk.logprobs))
        if self._so_far is not None:
            told["timings"] = self._so_far.wrote(index, chunk)
        yield frame(told)

    def ending(self, index: int, result: Completion) -> Iterator[str]:
        """Why it ended, and the window."""
        last = self._chunk(index, {}, None, result.finish_reason)
        last["timings"] = native_timings(result)
        last["longctx"] = report(result)
        yield frame(last)

    def closing(self, results: Sequence[Completion]) -> Iterator[str]:
        """The tokens of all of it, in a chunk without choice."""
        if self._extras.usage:
            counts = self._chunk(0, {})
            counts["choices"] = []
            counts["usage"] = self._usage(results)
            counts["timings"] = native_timings(results[0])
            yield frame(counts)
        yield DONE

    def _chunk(
        self,
        index: int,
        delta: Delta,
        logprobs: ChatLogprobs | None = None,
        finish_reason: FinishReason | None = None,
    ) -> ChatChunk:
        return {
            "id": self._head["id"],
            "created": self._head["created"],
            "model": self._head["model"],
            "system_fingerprint": self._head["system_fingerprint"],
            "object": "chat.completion.chunk",
            "choices": [
                {
                    "index": index,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": finish_reason,
                }
            ],
        }

    def _logprobs(self, tokens: Sequence[SampledToken]) -> ChatLogprobs | None:
        if not self._extras.logprobs:
            return None
        return {"content": [answer_token(token) for token in tokens], "refusal": None}


class TextFormat(_Format):
    """``text_completion``, whose chunks have the same kind.

    Args:
        model: the name of the model.
        asked: what is answered, once for each choice.
        n_choices: answers that each prompt gets.
        extras: of a stream.
        echoes: what stands before each answer.
    """

    def __init__(
        self,
        model: str,
        asked: Sequence[Asked],
        n_choices: int,
        extras: StreamExtras,
        *,
        echoes: Sequence[str] = (),
    ) -> None:
        super().__init__(_head("cmpl", model), len(asked), n_choices, extras)
        self._echoes = echoes or [""] * len(asked)

    def whole(self, results: Sequence[Completion]) -> TextCompletion:
        """Choices with their texts; the report is the first one's."""
        document = self._document()
        document["choices"] = [
            self._choice(
                index, self._echoes[index] + result.text, result.logprobs, result.finish_reason
            )
            for index, result in enumerate(results)
        ]
        document["usage"] = self._usage(results)
        document["timings"] = native_timings(results[0])
        document["longctx"] = report(results[0])
        return document

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """No text yet, but what is echoed."""
        for index, echo in enumerate(self._echoes):
            yield frame(self._document(self._choice(index, echo)))

    def progress(self, progress: Progress) -> Iterator[str]:
        """In a chunk without text, or in a comment."""
        for each in self._told(progress):
            told = self._document(self._choice(0, ""))
            told["prompt_progress"] = prompt_progress(each)
            self._time(told)
            yield frame(told)
        if not self._extras.progress:
            yield comment(progress)

    def piece(self, index: int, chunk: Chunk) -> Iterator[str]:
        """Some of the text."""
        told = self._document(self._choice(index, chunk.text, chunk.logprobs))
        if self._so_far is not None:
            told["timings"] = self._so_far.wrote(index, chunk)
        yield frame(told)

    def ending(self, index: int, result: Completion) -> Iterator[str]:
        """Why it ended, and the window."""
        last = self._document(self._choice(index, "", (), result.finish_reason))
        last["timings"] = native_timings(result)
        last["longctx"] = report(result)
        yield frame(last)

    def closing(self, results: Sequence[Completion]) -> Iterator[str]:
        """The tokens of all of it, in a chunk without choice."""
        if self._extras.usage:
            counts = self._document()
            counts["usage"] = self._usage(results)
            counts["timings"] = native_timings(results[0])
            yield frame(counts)
        yield DONE

    def _document(self, *choices: TextChoice) -> TextCompletion:
        return {
            "id": self._head["id"],
            "created": self._head["created"],
            "model": self._head["model"],
            "system_fingerprint": self._head["system_fingerprint"],
            "object": "text_completion",
            "choices": list(choices),
        }

    def _choice(
        self,
        index: int,
        text: str,
        tokens: Sequence[SampledToken] = (),
        finish_reason: FinishReason | None = None,
    ) -> TextChoice:
        return {
            "index": index,
            "text": text,
            "logprobs": columns(tokens) if self._extras.logprobs else None,
            "finish_reason": finish_reason,
        }


def _message(result: Completion) -> AssistantMessage:
    message: AssistantMessage = {"role": "assistant", "content": result.text, "refusal": None}
    if result.reasoning:
        message["reasoning_content"] = result.reasoning
    if result.tool_calls:
        message["tool_calls"] = [_call(call) for call in result.tool_calls]
        message["content"] = result.text or None
    return message


def usage_document(usage: Usage) -> UsageDocument:
    """OpenAI's ``usage``; ``cached_tokens`` is what was not prefilled again."""
    document: UsageDocument = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if usage.is_estimate:
        document["is_estimate"] = True
    return document


def _head(kind: str, model: str) -> Head:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": f"longctx-{__version__}",
    }


def _call(call: ToolCall) -> Call:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text},
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
