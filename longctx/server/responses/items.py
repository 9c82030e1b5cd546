"""What a conversation of the Responses API is made of, and the messages that it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, TypeAdapter

from longctx.server.requests import Strict, called, text_or_list
from longctx.types import Message, Role, ToolCall


class _InputText(Strict):
    type: Literal["input_text"]
    text: str


class _OutputText(Strict):
    """Of an answer that is sent back; annotations and the like are let pass."""

    type: Literal["output_text"]
    text: str


class _Refusal(Strict):
    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        """It is what was said."""
        return self.refusal


_Part = Annotated[_InputText | _OutputText | _Refusal, Field(discriminator="type")]
_Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[_Part], Tag("list")], Discriminator(text_or_list)
]


class _Item(Strict):
    """One item; members that models never see are let pass."""

    id: str | None = None
    status: str | None = None


class MessageItem(_Item):
    """What somebody says."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: _Content


class CallItem(_Item):
    """What the model asked of a tool."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class CallOutputItem(_Item):
    """What a tool answered."""

    type: Literal["function_call_output"]
    call_id: str
    output: _Content


class _Thought(Strict):
    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(_Item):
    """What the model thought, or the summary of it; what is encrypted nobody here can read."""

    type: Literal["reasoning"]
    summary: list[_Thought] = Field(default_factory=list)
    content: list[_Thought] | None = None
    encrypted_content: str | None = None

    @property
    def text(self) -> str:
        """The thoughts, or else their summary."""
        return "".join(part.text for part in self.content or self.summary)


class Reference(Strict):
    """An item of a response that the server keeps."""

    type: Literal["item_reference"]
    id: str


def _kind(value: Any) -> Any:
    """Messages need not say that they are."""
    if isinstance(value, dict):
        return value.get("type") or "message"
    return getattr(value, "type", None) or "message"


Item: TypeAlias = MessageItem | CallItem | CallOutputItem | ReasoningItem
AnyItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[Reference, Tag("item_reference")],
    Discriminator(_kind),
]
ITEM: TypeAdapter[Item | Reference] = TypeAdapter(AnyItem)


def messages_of(items: Sequence[Item]) -> tuple[Message, ...]:
    """The turns of a conversation: one of the assistant's may be several items.

    Raises:
        TemplateError: the arguments of a call are no JSON object.
    """
    turns = _Turns()
    for item in items:
        if isinstance(item, CallOutputItem):
            turns.say("tool", _text_of(item.output), call_id=item.call_id)
        elif isinstance(item, CallItem):
            turns.call(called(item.call_id, item.name, item.arguments))
        elif isinstance(item, ReasoningItem):
            turns.think(item.text)
        elif item.role == "assistant":
            turns.answer(_text_of(item.content))
        else:
            turns.say(item.role, _text_of(item.content))
    return turns.all


def _text_of(content: str | list[Any]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


class _Turns:
    """Puts the thoughts, words and calls of one answer into one turn.

    Words and thoughts behind words are of an answer of their own. Behind calls they are of the
    same, for the results of the calls come before another.
    """

    def __init__(self) -> None:
        self._turns: list[Message] = []

    @property
    def all(self) -> tuple[Message, ...]:
        """In their order."""
        return tuple(self._turns)

    def say(self, role: Role, text: str, call_id: str | None = None) -> None:
        """A turn of somebody else."""
        self._turns.append(Message(role=role, content=text, tool_call_id=call_id))

    def think(self, text: str) -> None:
        """Before words and calls, or between them."""
        last = self._unsaid()
        self._put(last, reasoning=last.reasoning + text)

    def answer(self, text: str) -> None:
        """Words follow thoughts, or calls, or begin a turn."""
        last = self._unsaid()
        self._put(last, content=last.content + text)

    def call(self, call: ToolCall) -> None:
        """Calls follow whatever there is of the turn."""
        last = self._own()
        self._put(last, tool_calls=(*last.tool_calls, call))

    def _unsaid(self) -> Message:
        last = self._own()
        return self._begin() if last.content and not last.tool_calls else last

    def _own(self) -> Message:
        if self._turns and self._turns[-1].role == "assistant":
            return self._turns[-1]
        return self._begin()

    def _begin(self) -> Message:
        self._turns.append(Message(role="assistant"))
        return self._turns[-1]

    def _put(self, turn: Message, **changes: Any) -> None:
        self._turns[-1] = turn.model_copy(update=changes)
