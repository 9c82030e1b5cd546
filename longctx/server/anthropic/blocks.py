"""What a conversation of the Messages API is made of, and the messages that it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from longctx.server.requests import Strict, text_or_list
from longctx.types import Message, ToolCall


class _Block(Strict):
    """A block; the cache finds what it has without a mark, so one is let pass."""

    cache_control: dict[str, Any] | None = None


class TextBlock(_Block):
    """Words."""

    type: Literal["text"]
    text: str


Texts: TypeAlias = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[TextBlock], Tag("list")],
    Discriminator(text_or_list),
]
"""Text, or blocks of it."""


class ThinkingBlock(_Block):
    """Thoughts; nobody here checks who signed them."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(_Block):
    """Thoughts that only Anthropic can read, and so no model here."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(_Block):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(_Block):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Texts | None = None
    is_error: bool | None = None

    @property
    def text(self) -> str:
        """What the model reads; a failure is named."""
        said = joined(self.content or "")
        return f"Error: {said}" if self.is_error else said


Block: TypeAlias = Annotated[
    TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock,
    Field(discriminator="type"),
]


_BLOCKS: dict[str, tuple[str, ...]] = {
    "user": ("text", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "system": ("text",),
}


class Turn(Strict):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[list[Block], Tag("list")],
        Discriminator(text_or_list),
    ]

    def to_messages(self) -> Iterator[Message]:
        """Our form: results of tools are turns of their own."""
        if isinstance(self.content, str):
            yield Message(role=self.role, content=self.content)
        elif self.role == "assistant":
            yield _answer(self.content)
        else:
            yield from self._said(self.content)

    def _said(self, blocks: Sequence[Any]) -> Iterator[Message]:
        for is_result, group in groupby(blocks, lambda block: isinstance(block, ToolResultBlock)):
            if is_result:
                for result in group:
                    call_id = result.tool_use_id
                    yield Message(role="tool", content=result.text, tool_call_id=call_id)
            else:
                yield Message(role=self.role, content=joined(list(group)))

    @model_validator(mode="after")
    def _has_its_blocks(self) -> Turn:
        for block in () if isinstance(self.content, str) else self.content:
            if block.type not in _BLOCKS[self.role]:
                raise ValueError(
                    f"{block.type!r} is no block of the role {self.role!r}; it has "
                    f"{', '.join(map(repr, _BLOCKS[self.role]))}"
                )
        return self


def joined(content: str | Sequence[TextBlock]) -> str:
    """Blocks of text are paragraphs."""
    return content if isinstance(content, str) else "\n\n".join(block.text for block in content)


def _answer(blocks: Sequence[Any]) -> Message:
    return Message(
        role="assistant",
        content="".join(block.text for block in blocks if isinstance(block, TextBlock)),
        reasoning="".join(block.thinking for block in blocks if isinstance(block, ThinkingBlock)),
        tool_calls=tuple(
            ToolCall(id=block.id, name=block.name, arguments=block.input)
            for block in blocks
            if isinstance(block, ToolUseBlock)
        ),
    )
