"""What clients may send: OpenAI's fields; one that would change the answer is never ignored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from longctx.errors import TemplateError
from longctx.options import sampling_fields
from longctx.sampling import RANGES, SAMPLING
from longctx.types import Message, ToolCall

Text = Annotated[str, Field(min_length=1)]
_Biases = Annotated[dict[str, float], Field(max_length=4096)]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]


class _Strict(BaseModel):
    """``"1"`` is no number and 1 no truth value."""

    model_config = ConfigDict(strict=True)


class _Part(_Strict):
    """A piece of a message's text; images and sounds are refused, not dropped."""

    type: Literal["text"]
    text: str


class _CalledFunction(_Strict):
    name: str
    arguments: str = "{}"


class _Call(_Strict):
    id: str = ""
    type: Literal["function"] = "function"
    function: _CalledFunction

    def to_call(self) -> ToolCall:
        """Our form: arguments as an object.

        Raises:
            TemplateError: they are no JSON object.
        """
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise TemplateError(
                f"the arguments of the call {self.id!r} of {self.function.name!r} are no JSON "
                f"object: {self.function.arguments[:80]!r}"
            )
        return ToolCall(id=self.id, name=self.function.name, arguments=arguments)


class ChatMessage(_Strict):
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


class _Function(_Strict):
    model_config = ConfigDict(extra="forbid")

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Strict):
    """A tool; its calls are always held to its schema, so ``strict`` changes nothing."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: _Function

    def to_schema(self) -> dict[str, Any]:
        """Our form."""
        return self.model_dump(exclude_none=True, exclude={"function": {"strict"}})


class _Name(_Strict):
    name: str


class NamedTool(_Strict):
    """``tool_choice`` of one function."""

    type: Literal["function"]
    function: _Name


class _JsonSchema(_Strict):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    of: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Strict):
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
        if self.type == "json_object":
            return {"type": "object"}
        return self.json_schema.of if self.json_schema else None


_SAYS_THINKING = frozenset({"enable_thinking", "thinking", "reasoning_effort"})


def template_options(given: dict[str, Any] | None) -> dict[str, Any]:
    """The options of ``chat_template_kwargs``, which vLLM and llama-server have.

    Their ``enable_thinking`` is our ``thinking``: templates call the switch by several names.
    """
    rest = dict(given or {})
    options: dict[str, Any] = {}
    if (thinking := rest.pop("enable_thinking", None)) is not None:
        options["thinking"] = thinking
    if rest:
        options["template_options"] = rest
    return options


class StreamOptions(_Strict):
    """Whether the last event of a stream counts the tokens."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class _Request(_Strict):
    """What all requests share: no unknown fields, and text that is text."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        """Refuse lone surrogates, which JSON can write and UTF-8 cannot."""
        if not isinstance(value, dict):  # another media type's bytes; refused as no object
            return value
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a string holds half of a surrogate pair, which is no text") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        return value


def _sampling_field(name: str, kind: Any) -> Any:
    """An option of sampling as a field: its bounds are said in the API's description, too."""
    limits = RANGES.get(name)
    if limits is None:
        return (_Biases | None if name == "logit_bias" else kind, None)
    bounds = Field(ge=limits.least, gt=limits.above, le=limits.most)
    return (Annotated[int if limits.is_whole else float, bounds] | None, None)


if TYPE_CHECKING:

    class _Sampled(_Request):
        """What is drawn, and how."""
else:
    _Sampled = create_model(
        "_Sampled",
        __base__=_Request,
        **{name: _sampling_field(name, kind) for name, (kind, _) in sampling_fields().items()},
    )


class AnswerRequest(_Sampled):
    """What both kinds of completion share, the options of sampling
    (:class:`longctx.options.SamplingOptions`) among it.

    The fields at its end have no effect on the text, or are accepted only at the value that
    has none.
    """

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    stop_on_repetition: bool | None = None
    stream: bool | None = None
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

    def sampling(self) -> dict[str, Any]:
        """The options that both ``stream`` and ``stream_chat`` take; unset ones are left out."""
        names = ("max_tokens", "stop", "stop_on_repetition", *SAMPLING)
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(AnswerRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Text | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    def to_messages(self) -> list[Message]:
        """The conversation in our form."""
        return [message.to_message() for message in self.messages]

    def options(self) -> dict[str, Any]:
        """What ``stream_chat`` takes beside the messages."""
        options = self.sampling()
        if self.max_completion_tokens is not None:
            options["max_tokens"] = self.max_completion_tokens
        if self.tools:
            options["tools"] = [tool.to_schema() for tool in self.tools]
        if self.response_format is not None:
            options["response_schema"] = self.response_format.to_schema()
        if self.logprobs:
            options["top_logprobs"] = self.top_logprobs or 0
        if self.parallel_tool_calls is not None:
            options["parallel_tool_calls"] = self.parallel_tool_calls
        options |= template_options(self.chat_template_kwargs)
        if isinstance(self.tool_choice, NamedTool):
            options["tool_choice"] = self.tool_choice.model_dump()
        elif self.tool_choice is not None:
            options["tool_choice"] = self.tool_choice
        return options

    @property
    def effort(self) -> bool | str | None:
        """``thinking`` that OpenAI's ``reasoning_effort`` asks for: its "none" is False.

        What the chat template is told by name (``chat_template_kwargs``) stands above it.
        """
        if (self.chat_template_kwargs or {}).keys() & _SAYS_THINKING:
            return None
        return False if self.reasoning_effort == "none" else self.reasoning_effort

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


class CompletionRequest(AnswerRequest):
    """``POST /v1/completions``: plain text, continued."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    response_format: ResponseFormat | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None
    logprobs: TopLogprobs | None = None

    @property
    def text(self) -> str:
        """OpenAI's list of prompts may hold one."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def options(self) -> dict[str, Any]:
        """What ``stream`` takes beside the prompt."""
        options = self.sampling()
        if self.response_format is not None:
            options["response_schema"] = self.response_format.to_schema()
        if self.logprobs is not None:
            options["top_logprobs"] = self.logprobs
        return options


class EmbeddingRequest(_Request):
    """``POST /v1/embeddings``; token ids are refused, for they are of another tokenizer."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """What is turned into vectors, one for each."""
        return [self.input] if isinstance(self.input, str) else self.input


class TokenizeRequest(_Request):
    """``POST /tokenize``: plain ``content``, or ``messages`` as a chat would prefill them."""

    content: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.content is None) == (self.messages is None):
            raise ValueError("give either content or messages")
        return self
