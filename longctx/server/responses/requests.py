"""What clients of the Responses API may send; what would change the answer is never ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)

from longctx.options import ToolChoice
from longctx.server.asked import Asked
from longctx.server.fields import ignored_of, undeclared
from longctx.server.requests import (
    AnswerRequest,
    Strict,
    Text,
    ThinkingRequest,
    answer_schema,
    check_choice,
    function_choice,
    function_tool,
    given,
    template_options,
    text_or_list,
)
from longctx.server.responses.items import AnyItem, Item, MessageItem, Reference
from longctx.types import Message

LOGPROBS = "message.output_text.logprobs"


class FunctionTool(Strict):
    """A tool that the client runs; its calls are held to its schema, ``strict`` or not."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _NamedTool(Strict):
    type: Literal["function"]
    name: str


class _Format(Strict):
    """``text``, any ``json_object``, or the object of a ``json_schema``."""

    model_config = ConfigDict(populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    of: dict[str, Any] | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _has_its_schema(self) -> _Format:
        if (self.type == "json_schema") != (self.of is not None):
            raise ValueError("schema is given with type 'json_schema', and only then")
        return self


class _Text(Strict):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(Strict):
    effort: Text | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationRequest(ThinkingRequest):
    """``POST /v1/responses/input_tokens``: what an answer would read."""

    input: Annotated[
        Annotated[Text, Tag("text")] | Annotated[list[AnyItem], Tag("list"), Field(min_length=1)],
        Discriminator(text_or_list),
    ]
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | _NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    conversation: None = None
    personality: str | None = None

    @property
    def items(self) -> Sequence[Item | Reference]:
        """The input; plain text is a message of the user's."""
        if isinstance(self.input, str):
            return [MessageItem(role="user", content=self.input)]
        return self.input

    def asked(self, turns: Sequence[Message]) -> Asked:
        """Our form.

        Args:
            turns: the conversation that this goes on with, and its own items.
        """
        system = [Message(role="system", content=self.instructions)] if self.instructions else []
        return Asked(
            (*system, *turns),
            self.options() | self.budget_options() | template_options(self.chat_template_kwargs),
            model=self.model,
            stream=self.is_streamed,
            effort=self.effort(
                self.reasoning.effort if self.reasoning else None, self.chat_template_kwargs
            ),
            ignored=self.ignored(),
        )

    def ignored(self) -> tuple[str, ...]:
        """A count ignores nothing."""
        return ()

    @property
    def is_streamed(self) -> bool:
        """A count is not."""
        return False

    def options(self) -> dict[str, Any]:
        """What ``stream_chat`` takes beside the messages."""
        choice: ToolChoice | None = (
            function_choice(self.tool_choice.name)
            if isinstance(self.tool_choice, _NamedTool)
            else self.tool_choice
        )
        form = self.text.format if self.text else None
        return given(
            tools=[
                function_tool(tool.name, tool.description, tool.parameters)
                for tool in self.tools or ()
            ]
            or None,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls,
            response_schema=answer_schema(form.type, form.of) if form else None,
        )

    @field_validator("truncation")
    @classmethod
    def _cuts_nothing(cls, value: str | None) -> str | None:
        if value == "auto":
            raise ValueError(
                "'auto' would drop turns of the conversation, and nothing is cut here; leave it "
                "out, and shorten the conversation where it does not fit"
            )
        return value

    @model_validator(mode="after")
    def _choice_has_tools(self) -> ConversationRequest:
        check_choice(self.tool_choice not in (None, "auto", "none"), self.tools)
        return self


class _StreamOptions(Strict):
    include_obfuscation: bool | None = None


if TYPE_CHECKING:

    class _Known(ConversationRequest, AnswerRequest):
        """What is ignored, or refused by name."""
else:
    _Known = create_model(
        "_Known", __base__=(ConversationRequest, AnswerRequest), **undeclared("responses")
    )


class ResponseRequest(_Known):
    """``POST /v1/responses``; :mod:`longctx.server.fields` has what is ignored.

    The fields at its end are accepted only at the value that has no effect on the text.
    """

    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    background: bool | None = None
    stream_options: _StreamOptions | None = None

    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    prompt: None = None
    context_management: None = None
    moderation: None = None

    def ignored(self) -> tuple[str, ...]:
        """Names of what it says and has no effect here."""
        return ignored_of(self, "responses")

    def options(self) -> dict[str, Any]:
        """What ``stream_chat`` takes beside the messages."""
        wants_logprobs = LOGPROBS in (self.include or ())
        own = given(
            max_tokens=self.max_output_tokens,
            stop=self.stop,
            top_logprobs=(self.top_logprobs or 0) if wants_logprobs else None,
        )
        return super().options() | self.sampling() | own

    @property
    def is_streamed(self) -> bool:
        """Whether it is sent while it is written."""
        return bool(self.stream)

    @property
    def wants_summary(self) -> bool:
        """Whether thoughts are looked for in the place of their summary."""
        reasoning = self.reasoning
        return bool(reasoning and (reasoning.summary or reasoning.generate_summary))

    @field_validator("background")
    @classmethod
    def _waits(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("answers are not written in the background here; use stream instead")
        return value

    @model_validator(mode="after")
    def _top_has_logprobs(self) -> ResponseRequest:
        if self.top_logprobs and LOGPROBS not in (self.include or ()):
            raise ValueError(f"top_logprobs needs include: ['{LOGPROBS}']")
        return self
