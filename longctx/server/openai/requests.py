"""What clients of OpenAI's API may send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from longctx.options import ToolChoice
from longctx.server.asked import Asked
from longctx.server.requests import (
    AnswerRequest,
    Closed,
    Request,
    Strict,
    Text,
    answer_schema,
    called,
    effort_of,
    function_choice,
    function_tool,
    given,
    template_options,
)
from longctx.types import Message, ToolCall

TopLogprobs = Annotated[int, Field(ge=0, le=20)]


class _Part(Strict):
    """A piece of a message's text; images and sounds are refused, not dropped."""

    type: Literal["text"]
    text: str


class _CalledFunction(Strict):
    name: str
    arguments: str = "{}"


class _Call(Strict):
    id: str = ""
    type: Literal["function"] = "function"
    function: _CalledFunction

    def to_call(self) -> ToolCall:
        """Our form."""
        return called(self.id, self.function.name, self.function.arguments)


class ChatMessage(Strict):
    """One turn; members that models never see (``refusal``, ``annotations``, …) are let pass."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    def to_message(self) -> Message:
        """Our form."""
        text = self.content or ""
        return Message(
            role=self.role,
            content=text if isinstance(text, str) else "".join(part.text for part in text),
            reasoning=self.reasoning_content or self.reasoning or "",
            tool_calls=tuple(call.to_call() for call in self.tool_calls or ()),
            tool_call_id=self.tool_call_id,
            name=self.name,
        )


class _Function(Closed):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Closed):
    """A tool; its calls are always held to its schema, so ``strict`` changes nothing."""

    type: Literal["function"]
    function: _Function

    def to_schema(self) -> dict[str, Any]:
        """Our form."""
        function = self.function
        return function_tool(function.name, function.description, function.parameters)


class _Name(Strict):
    name: str


class NamedTool(Strict):
    """``tool_choice`` of one function."""

    type: Literal["function"]
    function: _Name


class _JsonSchema(Strict):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    of: dict[str, Any] = Field(alias="schema")


class ResponseFormat(Strict):
    """``text``, any ``json_object``, or the object of a ``json_schema``."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type 'json_schema', and only then")
        return self

    def to_schema(self) -> dict[str, Any] | None:
        """The schema of the answer; None leaves it free."""
        return answer_schema(self.type, self.json_schema.of if self.json_schema else None)


class StreamOptions(Closed):
    """Whether the last event of a stream counts the tokens."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class _Completion(AnswerRequest):
    """What both kinds of completion share.

    The fields at its end have no effect on the text, or are accepted only at the value that
    has none.
    """

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    response_format: ResponseFormat | None = None
    stream_options: StreamOptions | None = None

    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    n: Literal[1] | None = None

    @field_validator("n", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """0.0 is 0."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def options(self) -> dict[str, Any]:
        """What both ``stream`` and ``stream_chat`` take."""
        schema = self.response_format.to_schema() if self.response_format else None
        found = given(max_tokens=self.max_tokens, stop=self.stop, response_schema=schema)
        return self.sampling() | found

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Completion):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Text | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    def asked(self) -> Asked:
        """Our form."""
        choice: ToolChoice | None = (
            function_choice(self.tool_choice.function.name)
            if isinstance(self.tool_choice, NamedTool)
            else self.tool_choice
        )
        options = given(
            max_tokens=self.max_completion_tokens,
            tools=[tool.to_schema() for tool in self.tools or ()] or None,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )
        return Asked(
            tuple(message.to_message() for message in self.messages),
            self.options() | options | template_options(self.chat_template_kwargs),
            model=self.model,
            effort=effort_of(self.reasoning_effort, self.chat_template_kwargs),
            stream=bool(self.stream),
        )

    @model_validator(mode="after")
    def _choice_has_tools(self) -> ChatRequest:
        if self.tool_choice not in (None, "auto", "none") and not self.tools:
            raise ValueError("tool_choice asks for a call, and there are no tools")
        return self

    @model_validator(mode="after")
    def _top_has_logprobs(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self


class CompletionRequest(_Completion):
    """``POST /v1/completions``: plain text, continued."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None
    logprobs: TopLogprobs | None = None

    def asked(self) -> Asked:
        """Our form; OpenAI's list of prompts may hold one."""
        return Asked(
            self.prompt if isinstance(self.prompt, str) else self.prompt[0],
            self.options() | given(top_logprobs=self.logprobs),
            model=self.model,
            stream=bool(self.stream),
        )


class EmbeddingRequest(Request):
    """``POST /v1/embeddings``; token ids are refused, for they are of another tokenizer."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """What is turned into vectors, one for each."""
        return [self.input] if isinstance(self.input, str) else self.input
