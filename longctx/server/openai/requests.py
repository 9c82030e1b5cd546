"""What clients of OpenAI's API may send."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model, field_validator, model_validator

from longctx.options import ToolChoice
from longctx.server.asked import Asked
from longctx.server.fields import Route, ignored_of, undeclared
from longctx.server.openai.formats import StreamExtras
from longctx.server.requests import (
    AnswerRequest,
    Request,
    Strict,
    Text,
    ThinkingRequest,
    Tolerant,
    answer_schema,
    called,
    check_choice,
    function_choice,
    function_tool,
    given,
    template_options,
)
from longctx.types import Message, ToolCall

MaxTokens = Annotated[int, Field(ge=-1)]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]


class _Part(Strict):
    """A piece of a message's text; images and sounds are refused, not dropped."""

    type: Literal["text"]
    text: str


class _CalledFunction(Strict):
    name: str
    arguments: str | dict[str, Any] = "{}"


class _Call(Strict):
    id: str = ""
    type: Literal["function"] = "function"
    function: _CalledFunction

    def to_call(self) -> ToolCall:
        """Our form."""
        name, arguments = self.function.name, self.function.arguments
        if isinstance(arguments, dict):
            return ToolCall(id=self.id, name=name, arguments=arguments)
        return called(self.id, name, arguments)


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


class _Function(Tolerant):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Tolerant):
    """A tool; its calls are always held to its schema, so ``strict`` changes nothing."""

    type: Literal["function"]
    function: _Function

    def to_schema(self) -> dict[str, Any]:
        """Our form."""
        function = self.function
        return function_tool(function.name, function.description, function.parameters)

    def unknown(self, place: str) -> list[str]:
        """Unknown members of it and its function."""
        return [*super().unknown(place), *self.function.unknown(f"{place}.function")]


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
    """``text``, any ``json_object`` or that of a ``schema`` (as llama-server has it), or the object
    of a ``json_schema``."""

    model_config = ConfigDict(populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None
    of: dict[str, Any] | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type 'json_schema', and only then")
        if self.of is not None and self.type != "json_object":
            raise ValueError("schema is given with type 'json_object', and only then")
        return self

    def to_schema(self) -> dict[str, Any] | None:
        """The schema of the answer; None leaves it free."""
        return answer_schema(self.type, self.json_schema.of if self.json_schema else self.of)


class StreamOptions(Tolerant):
    """Whether the last event of a stream counts the tokens."""

    include_usage: bool = False


class _Completion(AnswerRequest):
    """What both kinds of completion share; :mod:`longctx.server.fields` has all fields."""

    max_tokens: MaxTokens | None = None
    n_predict: MaxTokens | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    stream_options: StreamOptions | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None

    def options(self) -> dict[str, Any]:
        """What both ``stream`` and ``stream_chat`` take."""
        schema = self.response_format.to_schema() if self.response_format else self.json_schema
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        found = given(
            max_tokens=self.n_predict if self.max_tokens is None else self.max_tokens,
            stop=[text for text in stops if text] or None,
            response_schema=schema,
            # By their likelihoods tokens are counted as they come.
            top_logprobs=0 if self.stream and self.timings_per_token else None,
        )
        return self.sampling() | found

    @property
    @abstractmethod
    def tells_logprobs(self) -> bool:
        """Whether the likelihoods of tokens were asked for."""

    @property
    def n_choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    def each_choice(self, asked: Asked) -> list[Asked]:
        """One for each answer; with a seed, each has its own."""
        seed = asked.options.get("seed")
        if seed is None:
            return [asked] * self.n_choices
        seeds = range(seed, seed + self.n_choices)
        return [replace(asked, options={**asked.options, "seed": each}) for each in seeds]

    def ignored(self, route: Route) -> tuple[str, ...]:
        """Names of what it says and has no effect here."""
        unknown = self.stream_options.unknown("stream_options") if self.stream_options else []
        return (*ignored_of(self, route), *unknown)

    @property
    def extras(self) -> StreamExtras:
        """What a stream has besides the answer."""
        usage = self.stream_options is not None and self.stream_options.include_usage
        return StreamExtras(
            usage, bool(self.return_progress), bool(self.timings_per_token), self.tells_logprobs
        )


if TYPE_CHECKING:

    class _KnownOfChats(_Completion):
        """What a chat ignores, or refuses by name."""

    class _KnownOfTexts(_Completion):
        """What a text ignores, or refuses by name."""
else:
    _KnownOfChats = create_model("_KnownOfChats", __base__=_Completion, **undeclared("chat"))
    _KnownOfTexts = create_model("_KnownOfTexts", __base__=_Completion, **undeclared("text"))


class ChatRequest(_KnownOfChats, ThinkingRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Text | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    reasoning_format: Literal["auto", "deepseek"] | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    @property
    def tells_logprobs(self) -> bool:
        """Whether the likelihoods of tokens were asked for."""
        return bool(self.logprobs)

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
        unknown = [
            name for i, tool in enumerate(self.tools or ()) for name in tool.unknown(f"tools[{i}]")
        ]
        return Asked(
            tuple(message.to_message() for message in self.messages),
            self.options()
            | options
            | self.budget_options()
            | template_options(self.chat_template_kwargs),
            model=self.model,
            effort=self.effort(self.reasoning_effort, self.chat_template_kwargs),
            stream=bool(self.stream),
            ignored=(*self.ignored("chat"), *unknown),
        )

    @model_validator(mode="after")
    def _choice_has_tools(self) -> ChatRequest:
        check_choice(self.tool_choice not in (None, "auto", "none"), self.tools)
        return self

    @model_validator(mode="after")
    def _ends_as_it_says(self) -> ChatRequest:
        """As vLLM has it, where the last message decides here."""
        continues = self.messages[-1].role == "assistant"
        said = self.continue_final_message, self.add_generation_prompt
        if said == (True, True):
            raise ValueError("continue_final_message and add_generation_prompt exclude each other")
        if said[0] not in (None, continues) or said[1] not in (None, not continues):
            last = "is" if continues else "is not"
            raise ValueError(
                "continue_final_message goes with a last message of the assistant's, and "
                f"add_generation_prompt with another's; the last one {last} the assistant's"
            )
        return self

    @model_validator(mode="after")
    def _top_has_logprobs(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self


Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class TextRequest(_KnownOfTexts):
    """Plain text, continued."""

    @property
    @abstractmethod
    def prompts(self) -> list[str | list[int]]:
        """The texts, or the token ids, each with answers of its own."""

    def asked(self) -> list[Asked]:
        """Our form: of each prompt as many as it gets answers."""
        options, ignored = self.options(), self.ignored("text")
        return [
            each
            for prompt in self.prompts
            for each in self.each_choice(
                Asked(
                    prompt,
                    options,
                    model=self.model,
                    stream=bool(self.stream),
                    ignored=ignored,
                )
            )
        ]


class CompletionRequest(TextRequest):
    """``POST /v1/completions``."""

    prompt: Text | Ids | Annotated[list[Text | Ids], Field(min_length=1, max_length=128)]
    echo: bool | None = None
    best_of: Literal[1] | None = None
    logprobs: TopLogprobs | None = None

    @property
    def tells_logprobs(self) -> bool:
        """Whether the likelihoods of tokens were asked for."""
        return self.logprobs is not None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The texts, or the token ids, each with answers of its own."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [part for part in self.prompt if isinstance(part, int)]
        return [ids] if ids else [part for part in self.prompt if not isinstance(part, int)]

    def options(self) -> dict[str, Any]:
        """What ``stream`` takes."""
        return super().options() | given(top_logprobs=self.logprobs)

    @field_validator("best_of", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """1.0 is 1."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @model_validator(mode="after")
    def _echoes_no_logprobs(self) -> CompletionRequest:
        if self.echo and self.logprobs is not None:
            raise ValueError("echo has no logprobs of the prompt; leave one of them out")
        return self


class EmbeddingRequest(Request):
    """``POST /v1/embeddings``; token ids are refused, for they are of another tokenizer."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of what it says and has no effect here."""
        return ("user",) if self.user is not None else ()

    @property
    def texts(self) -> list[str]:
        """What is turned into vectors, one for each."""
        return [self.input] if isinstance(self.input, str) else self.input
