"""A public fake: a chat model that answers from a script, for tests of logic without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from typing_extensions import Unpack

from longctx import arguments
from longctx.errors import BackendError, ContextOverflowError
from longctx.options import CHAT_OPTIONS, ChatOptions, ToolChoice, check_names, tool_choice_of
from longctx.prompt import Prompt, tools_of
from longctx.sampling import Sampling
from longctx.stream import Stream
from longctx.types import (
    Chunk,
    Completion,
    Message,
    Messages,
    Timings,
    ToolCall,
    ToolCallDelta,
    ToolSchema,
    Usage,
    WindowReport,
    as_messages,
)

Reply: TypeAlias = str | ToolCall | Message | Completion
"""A text, a tool call, a message of the assistant's (with its reasoning and calls), or a whole
completion, which is returned as it is."""

_WORD = re.compile(r"\w+|[^\w\s]|\n")
_PIECE = re.compile(r"\S+\s*|\s+")
# These have attributes of their own in a ScriptedCall.
_OF_A_CALL = frozenset({"tools", "tool_choice", "max_tokens"})


@dataclass(frozen=True)
class ScriptedCall:
    """What one call of the fake was given."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    tool_choice: ToolChoice
    max_tokens: int | None
    options: dict[str, Any]


class ScriptedChatModel:
    """A ``ChatModel`` that answers each call with the next reply of a list.

    Its tokens are words, single punctuation marks and line ends; a message costs two more. It
    counts, reuses the longest common prefix of the call before, and refuses what does not fit,
    as a real model does; so budgets, reuse and overflow can be tested in microseconds.

    Args:
        replies: in order; a call beyond them raises :class:`BackendError`.
        target_ctx: window in tokens.
        reserve_output: tokens that must be free for an answer without ``max_tokens``.

    Examples:
        >>> llm = ScriptedChatModel(["Hello there."])
        >>> llm.chat([{"role": "user", "content": "Hi!"}]).text
        'Hello there.'
        >>> llm.count("Hi, you!")
        4
    """

    def __init__(
        self, replies: Sequence[Reply], *, target_ctx: int = 4096, reserve_output: int = 64
    ) -> None:
        self.target_ctx = target_ctx
        self.reserve_output = reserve_output
        self.calls: list[ScriptedCall] = []
        self._replies = list(replies)
        self._cached: list[str] = []

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Tokens of a text, or of a conversation with its tools."""
        if isinstance(text, str):
            return len(_WORD.findall(text))
        return self.prompt(text, tools).n_tokens

    def prompt(self, messages: Messages, tools: Sequence[ToolSchema] | None = None) -> Prompt:
        """Count a conversation, with its tools, once."""
        schemas = tools_of(messages, tools)
        if isinstance(messages, Prompt) and messages.counted_by is self:
            return messages
        conversation = tuple(as_messages(messages))
        return Prompt(conversation, schemas, len(_render(conversation, schemas)), self)

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Return the next reply; options but tools and ``max_tokens`` are recorded, and change
        nothing.

        Raises:
            ContextOverflowError: prompt and answer do not fit ``target_ctx``.
            RequestError: an option is unknown, or wrong as a real model would find it.
            ToolError: ``tool_choice`` asks for a tool that is not there.
            BackendError: the script is at its end.
        """
        check_names(options, CHAT_OPTIONS, "of chat()")
        given = {name: value for name, value in options.items() if name not in _OF_A_CALL}
        asked = self.prompt(messages, options.get("tools"))
        choice = tool_choice_of(options)
        max_tokens = arguments.max_tokens(options.get("max_tokens"))
        _check(asked.tools, choice, given)
        room = self.reserve_output if max_tokens is None else max_tokens
        needed = asked.n_tokens + room
        if needed > self.target_ctx:
            raise ContextOverflowError(
                f"{needed} tokens do not fit {self.target_ctx}",
                needed=needed,
                available=self.target_ctx,
                n_ctx=self.target_ctx,
            )
        if len(self.calls) == len(self._replies):
            raise BackendError(
                f"the script holds {len(self._replies)} replies, and this is one call more"
            )
        reply = self._replies[len(self.calls)]
        self.calls.append(ScriptedCall(asked.messages, asked.tools, choice, max_tokens, given))
        prompt = _render(asked.messages, asked.tools)
        cached = _common_prefix(self._cached, prompt)
        self._cached = prompt
        return reply if isinstance(reply, Completion) else self._complete(reply, prompt, cached)

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """:meth:`chat`, a word at a time: thoughts, text, then calls."""
        result = self.chat(messages, **options)
        chunks = [Chunk(reasoning=piece) for piece in _PIECE.findall(result.reasoning)]
        chunks += [Chunk(text=piece) for piece in _PIECE.findall(result.text)]
        for index, call in enumerate(result.tool_calls):
            chunks.append(
                Chunk(tool_calls=(ToolCallDelta(index=index, id=call.id, name=call.name),))
            )
            for piece in _PIECE.findall(json.dumps(call.arguments, ensure_ascii=False)):
                chunks.append(Chunk(tool_calls=(ToolCallDelta(index=index, arguments=piece),)))
        return Stream.of([*chunks, Chunk(result=result)])

    def _complete(
        self, reply: str | ToolCall | Message, prompt: list[str], cached: int
    ) -> Completion:
        if isinstance(reply, str):
            reply = Message(role="assistant", content=reply)
        elif isinstance(reply, ToolCall):
            reply = Message(role="assistant", tool_calls=(reply,))
        n_reasoning = self.count(reply.reasoning)
        return Completion(
            text=reply.content,
            message=reply,
            finish_reason="tool_calls" if reply.tool_calls else "stop",
            usage=Usage(
                prompt_tokens=len(prompt),
                cached_tokens=cached,
                prefilled_tokens=len(prompt) - cached,
                completion_tokens=n_reasoning + self.count(reply.content),
                reasoning_tokens=n_reasoning,
            ),
            timings=Timings(),
            window=WindowReport(n_ctx=self.target_ctx),
        )


def _check(
    tools: Sequence[ToolSchema] | None, tool_choice: ToolChoice, options: Mapping[str, Any]
) -> None:
    names = [tool["function"]["name"] for tool in arguments.tools(tools or ())]
    arguments.tool_choice(tool_choice, names)
    Sampling.of(options)
    arguments.stop_strings(options.get("stop"))
    arguments.stop_on_repetition(options.get("stop_on_repetition"))
    arguments.prompt_lookup(options.get("prompt_lookup"))
    arguments.parallel_tool_calls(options.get("parallel_tool_calls"))
    if options.get("response_schema") is not None:
        arguments.json_schema(options["response_schema"])


def _render(messages: Messages, tools: Sequence[ToolSchema] | None) -> list[str]:
    tokens = _WORD.findall(json.dumps(list(tools))) if tools else []
    for message in as_messages(messages):
        calls = "".join(call.model_dump_json() for call in message.tool_calls)
        tokens += [f"<{message.role}>", *_WORD.findall(message.content + calls), "<end>"]
    return [*tokens, "<assistant>"]


def _common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
