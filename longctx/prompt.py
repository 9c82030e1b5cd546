"""A conversation that was counted once, and is asked with as it was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, overload, runtime_checkable

from longctx import arguments
from longctx.errors import RequestError
from longctx.types import Message, Messages, ToolSchema, as_messages


@dataclass(frozen=True)
class CompressedSpan:
    """A passage of a prompt that may stand compressed: ``ids[begin:end]``, of whose cells a
    ``share`` is kept. ``passage`` is its number among those that were asked for."""

    begin: int
    end: int
    share: float
    passage: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Prompt(Sequence[Message]):
    """Messages with their count: whatever takes messages takes a prompt, and its tools with it.

    It is the sequence of its messages, so a model that knows nothing of prompts reads them; the
    one that counted it does not count again.

    Attributes:
        messages: the conversation.
        tools: what the model may call.
        n_tokens: what it prefills with an empty cache, template and tools included.
        counted_by: tells the model its own prompts from another's.
        compressed: its passages that may stand compressed; no other prompt is answered from those.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    n_tokens: int
    counted_by: object = field(default=None, repr=False, compare=False)
    compressed: tuple[CompressedSpan, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self.messages[index]

    def __len__(self) -> int:
        return len(self.messages)


@runtime_checkable
class PromptingModel(Protocol):
    """A chat model that renders and counts a conversation once, for all that is done with it."""

    def prompt(self, messages: Messages, tools: Sequence[ToolSchema] | None = None) -> Prompt:
        """Count a conversation, and keep what came of it."""


class CountingModel(Protocol):
    """A chat model that counts."""

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Exact tokens of a text or a conversation."""


def prompt_of(
    llm: CountingModel, messages: Messages, tools: Sequence[ToolSchema] | None = None
) -> Prompt:
    """The model's own prompt of a conversation, or, of a model that makes none, its count."""
    if isinstance(llm, PromptingModel):
        return llm.prompt(messages, tools)
    schemas = tools_of(messages, tools)
    if isinstance(messages, Prompt) and messages.counted_by is llm:
        return messages
    conversation = tuple(as_messages(messages))
    return Prompt(conversation, schemas, llm.count(conversation, schemas or None), llm)


def tools_of(messages: Messages, tools: Sequence[ToolSchema] | None) -> tuple[ToolSchema, ...]:
    """The tools of a call: those that are given, or those that its prompt was counted with.

    Raises:
        RequestError: the prompt was counted with others.
        ToolError: a definition is malformed.
    """
    if tools is not None:
        arguments.tools(tools)
    given = tuple(tools or ())
    if not isinstance(messages, Prompt):
        return given
    if given and given != messages.tools:
        raise RequestError(
            f"this prompt was counted with {len(messages.tools)} tools, and the call has "
            f"{len(given)} others; leave tools out of the call, or count the messages again"
        )
    return messages.tools
