"""What clients of the Messages API may send; what would change the answer is never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from longctx.options import ToolChoice
from longctx.server.anthropic.blocks import Texts, Turn, joined
from longctx.server.asked import Asked
from longctx.server.fields import ignored_of, undeclared
from longctx.server.requests import (
    AnswerRequest,
    Request,
    Strict,
    Text,
    answer_schema,
    check_choice,
    effort_of,
    function_choice,
    function_tool,
    given,
    template_options,
)
from longctx.types import Message


class Tool(Strict):
    """A tool that the client runs; its calls are held to its schema.

    Those that Anthropic runs itself have other types, and are refused.
    """

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]


class _Choice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _has_its_name(self) -> _Choice:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("name is given with type 'tool', and only then")
        return self

    def to_choice(self) -> ToolChoice:
        """Our form."""
        if self.name is not None:
            return function_choice(self.name)
        return "required" if self.type == "any" else "none" if self.type == "none" else "auto"


class _Thinking(Strict):
    """``adaptive`` leaves it to the model."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: str | None = None

    @model_validator(mode="after")
    def _has_its_budget(self) -> _Thinking:
        if (self.type == "enabled") != (self.budget_tokens is not None):
            raise ValueError("budget_tokens is given with type 'enabled', and only then")
        return self


class _Format(Strict):
    type: Literal["json_schema"]
    of: dict[str, Any] = Field(alias="schema")


class _Output(Strict):
    effort: Text | None = None
    format: _Format | None = None


if TYPE_CHECKING:

    class _Known(Request):
        """What is ignored, or refused by name."""
else:
    _Known = create_model("_Known", __base__=Request, **undeclared("messages"))


class CountRequest(_Known):
    """``POST /v1/messages/count_tokens``: what an answer would read;
    :mod:`longctx.server.fields` has what is ignored."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    system: Texts | None = None
    tools: list[Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    mcp_servers: Annotated[list[Any], Field(max_length=0)] | None = None

    def asked(self) -> Asked:
        """Our form."""
        said = joined(self.system or "")
        system = [Message(role="system", content=said)] if said else []
        turns = [message for turn in self.messages for message in turn.to_messages()]
        return Asked(
            (*system, *turns),
            self.options() | template_options(self.chat_template_kwargs),
            model=self.model,
            effort=self._effort(),
            stream=self.is_streamed,
            fills_window=True,
            ignored=ignored_of(self, "messages"),
        )

    @property
    def is_streamed(self) -> bool:
        """A count is not."""
        return False

    def options(self) -> dict[str, Any]:
        """What ``stream_chat`` takes beside the messages."""
        choice = self.tool_choice
        form = self.output_config.format if self.output_config else None
        return given(
            tools=[
                function_tool(tool.name, tool.description, tool.input_schema)
                for tool in self.tools or ()
            ]
            or None,
            tool_choice=choice.to_choice() if choice else None,
            parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
            response_schema=answer_schema(form.type, form.of) if form else None,
            thinking_budget=self.thinking.budget_tokens if self.thinking else None,
        )

    def _effort(self) -> bool | str | None:
        word = self.output_config.effort if self.output_config else None
        effort = effort_of(word, self.chat_template_kwargs)
        if self.thinking is None or self.thinking.type == "adaptive":
            return effort
        return (effort or True) if self.thinking.type == "enabled" else False

    @model_validator(mode="after")
    def _choice_has_tools(self) -> CountRequest:
        calls = self.tool_choice is not None and self.tool_choice.type in ("any", "tool")
        check_choice(calls, self.tools)
        return self


class MessagesRequest(CountRequest, AnswerRequest):
    """``POST /v1/messages``; ``container`` is accepted only at the value that has no effect."""

    max_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: Annotated[list[Text], Field(max_length=16)] | None = None
    container: None = None

    @property
    def is_streamed(self) -> bool:
        """Whether it is sent while it is written."""
        return bool(self.stream)

    def options(self) -> dict[str, Any]:
        """What ``stream_chat`` takes beside the messages."""
        own = given(max_tokens=self.max_tokens, stop=self.stop_sequences or None)
        return super().options() | self.sampling() | own
