"""What crosses the boundary: messages in, completions out. All of it frozen pydantic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from longctx.errors import TemplateError
from longctx.surrogates import without_surrogates

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
"""``developer`` is OpenAI's newer word for ``system``, as which it is taken where a model's chat
template does not know it."""
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]
FinishDetail: TypeAlias = Literal["repetition"]


class Frozen(BaseModel):
    """Base of the value types: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def problems(error: ValidationError, whole: str) -> list[str]:
    """Say where a document is not what it should be, and why.

    Args:
        error: of its validation.
        whole: what to call it where no field is to blame.
    """
    return [
        f"{'.'.join(map(str, item['loc'])) or whole}: {without_prefix(item['msg'])}"
        for item in error.errors(include_url=False)
    ]


def first_problem(error: ValidationError, whole: str) -> str:
    """The first of :func:`problems`."""
    return problems(error, whole)[0]


def without_prefix(said: str) -> str:
    """What a check of ours said, without pydantic's words before it."""
    return said.removeprefix("Value error, ")


REASONING_NAMES = ("reasoning_content", "thinking")
"""What ``reasoning`` is called elsewhere: DeepSeek's API, vLLM and llama-server; gpt-oss."""


class ToolCall(Frozen):
    """One call of a tool that the model asked for.

    ``malformed`` is the text of arguments that are no JSON object, as a history may have them of
    a model that wrote them freely, or was cut; ``arguments`` are then empty. Half a surrogate pair,
    which a model can write as an escape of JSON and no text can hold, is U+FFFD in them.
    """

    id: str
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    malformed: str | None = None

    @field_validator("arguments")
    @classmethod
    def _hold_text(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(arguments, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return arguments  # of Python's objects, not of a text
        whole = without_surrogates(text)
        return arguments if whole is text else json.loads(whole)

    @classmethod
    def parsed(cls, call_id: str, name: str, arguments: str) -> ToolCall:
        """A call by the text of its arguments, which may be none."""
        try:
            found = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return cls(id=call_id, name=name, arguments=found)
        return cls(id=call_id, name=name, malformed=arguments)

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON text, or as they were written."""
        if self.malformed is not None:
            return self.malformed
        return json.dumps(self.arguments, ensure_ascii=False)

    def to_openai(self) -> dict[str, Any]:
        """Return the call in OpenAI's nested form, arguments as an object (as templates want), or
        as the text that they are."""
        arguments = self.arguments if self.malformed is None else self.malformed
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": arguments},
        }


class Message(Frozen):
    """One message of a conversation.

    ``reasoning`` is what the model thought before it said ``content``; the chat template shows it
    to the model again, or drops it.
    """

    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_reasoning(cls, value: Any) -> Any:
        """Accept the names that servers have for reasoning."""
        if not isinstance(value, Mapping):
            return value
        fields = dict(value)
        for other in REASONING_NAMES:
            found = fields.pop(other, None)
            if found and not fields.get("reasoning"):
                fields["reasoning"] = found
        if fields.get("reasoning", "") is None:
            del fields["reasoning"]
        return fields

    @field_validator("content", mode="before")
    @classmethod
    def _join_parts(cls, value: Any) -> Any:
        """Accept OpenAI's list of text parts, and null beside tool calls."""
        if value is None:
            return ""
        if isinstance(value, list):
            parts = []
            for part in value:
                if not (isinstance(part, Mapping) and part.get("type") == "text"):
                    raise ValueError("only text parts are supported in content")
                parts.append(str(part.get("text", "")))
            return "".join(parts)
        return value

    @field_validator("tool_calls", mode="before")
    @classmethod
    def _flatten_openai_calls(cls, value: Any) -> Any:
        """Accept OpenAI's ``{"id", "type", "function": {"name", "arguments"}}``."""
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            return value
        return tuple(_flatten_call(call) for call in value)

    @property
    def is_system(self) -> bool:
        """Whether it says what the model is to be, under either name of that role."""
        return self.role in ("system", "developer")

    def to_template(self) -> dict[str, Any]:
        """Return the dict that a chat template renders."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            out["reasoning_content"] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = [call.to_openai() for call in self.tool_calls]
        if self.tool_call_id is not None:
            out["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            out["name"] = self.name
        return out


def _flatten_call(call: Any) -> Any:
    if not (isinstance(call, Mapping) and "function" in call):
        return call
    function = call["function"]
    call_id, name = call.get("id", ""), function.get("name")
    arguments = function.get("arguments")
    if isinstance(arguments, str) and isinstance(call_id, str) and isinstance(name, str):
        return ToolCall.parsed(call_id, name, arguments)
    return {"id": call_id, "name": name, "arguments": arguments or {}}


MessageLike: TypeAlias = Message | Mapping[str, Any]
Messages: TypeAlias = Sequence[MessageLike]
ToolSchema: TypeAlias = Mapping[str, Any]
"""A tool in OpenAI's form: ``{"type": "function", "function": {name, description, parameters}}``,
the parameters a JSON schema."""


def as_messages(messages: Messages) -> list[Message]:
    """Validate a conversation.

    Args:
        messages: OpenAI-style dicts or :class:`Message`, oldest first.

    Returns:
        The same messages as :class:`Message`.

    Raises:
        TemplateError: it is not a list of messages, it is empty, or a message is malformed.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise TemplateError(
            "messages must be a list of {'role', 'content'} dicts, not "
            f"{type(messages).__name__}; for plain text use generate(), or pass "
            "[{'role': 'user', 'content': text}]"
        )
    if not messages:
        raise TemplateError(
            "messages is empty: pass at least one, such as {'role': 'user', 'content': 'Hello'}"
        )
    return [_as_message(index, message) for index, message in enumerate(messages)]


def _as_message(index: int, message: Any) -> Message:
    if isinstance(message, Message):
        return message
    if not isinstance(message, Mapping):
        raise TemplateError(
            f"messages[{index}] is a {type(message).__name__}; "
            "each must be a dict with 'role' and 'content', or a longctx.Message"
        )
    names = {*Message.model_fields, *REASONING_NAMES}
    known = {key: value for key, value in message.items() if key in names}
    try:
        return Message.model_validate(known)
    except ValidationError as error:
        details = "; ".join(problems(error, "it"))
        raise TemplateError(
            f"messages[{index}] is not a message ({details}); it needs 'role' "
            "(system, developer, user, assistant or tool) and 'content' (text)"
        ) from error


class Composed(Frozen):
    """What putting a prompt together from cached passages took, in tokens.

    ``prefilled_tokens`` were computed, here or alone; ``attached_tokens`` were placed from the
    cache without a prefill of the prompt. ``loaded_tokens`` of these were read from the disk.
    """

    prefilled_tokens: int
    attached_tokens: int
    loaded_tokens: int = 0


class Usage(Frozen):
    """Tokens that one call used. ``prompt_tokens = cached_tokens + prefilled_tokens``.

    ``is_estimate`` says that they were not counted but estimated, because a server does not tell.
    ``reasoning_tokens`` of the completion were thoughts; ``accepted_tokens`` came from
    ``drafted_tokens`` that prompt lookup proposed (``docs/prompt-lookup.md``).
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefilled_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    is_estimate: bool = False

    def __add__(self, other: Usage) -> Usage:
        """Tokens of both calls."""
        names = [name for name in Usage.model_fields if name != "is_estimate"]
        total = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Usage(**total, is_estimate=self.is_estimate or other.is_estimate)


class Timings(Frozen):
    """Seconds that one call took, by phase.

    ``waited_s`` passed before its prefill began; ``ttft_s`` until its first token, that wait
    included.
    """

    waited_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    ttft_s: float = 0.0
    rescale_s: float = 0.0


class WindowReport(Frozen):
    """What happened to the window during one call.

    ``grew_from`` is the window in tokens before it grew (None if it did not);
    ``dropped_tokens`` counts tokens that slid out of it; of ``compressed_tokens`` each layer and
    head keeps a share of its own, ``kept_share``. ``method_changed`` says in words when something
    else was done than the plan foresaw.
    """

    n_ctx: int = 0
    scale: float = 1.0
    method: str = "none"
    grew_from: int | None = None
    dropped_tokens: int = 0
    compressed_tokens: int = 0
    kept_share: float = 1.0
    method_changed: str | None = None


class TokenLogprob(Frozen):
    """How likely one token was: the natural logarithm of its probability.

    The distribution is the model's own, the softmax of its raw logits: before a grammar forbids
    tokens, and before sampling changes anything. ``data`` are the token's bytes, which may be a
    part of a character.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    id: int
    data: bytes
    logprob: float


class SampledToken(TokenLogprob):
    """One token of an answer: how many characters of the answer stand before it, and the most
    likely tokens in its place, best first."""

    offset: int
    top: tuple[TokenLogprob, ...] = ()


class Completion(Frozen):
    """An answer, with what it cost; ``logprobs`` has each token of its text, where asked for.

    ``finish_detail`` is "repetition" where the answer said the same over and over, and was cut:
    ``finish_reason``, which has OpenAI's words alone, is then "length". ``stop_sequence`` is the
    string of ``stop`` that ended it, None where none did.
    """

    text: str
    message: Message
    finish_reason: FinishReason
    finish_detail: FinishDetail | None = None
    stop_sequence: str | None = None
    usage: Usage
    timings: Timings
    window: WindowReport
    logprobs: tuple[SampledToken, ...] = ()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model asked for."""
        return self.message.tool_calls

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered; "" where it does not tell."""
        return self.message.reasoning


class ToolCallDelta(Frozen):
    """A piece of a call that is being written.

    The first of a call has ``id`` and ``name``; ``arguments`` of all of them together are the JSON
    text of an object. A call that breaks off is not among the result's.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Chunk(Frozen):
    """A piece of a streamed answer; the last one carries the whole ``result``.

    ``text`` is what is said, ``reasoning`` what is thought; ``tool_calls`` are pieces of calls.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: tuple[SampledToken, ...] = ()
    result: Completion | None = None


class Progress(Frozen):
    """How far a prefill has come, of the tokens that are not cached; ``cached_tokens`` are before
    them."""

    done_tokens: int
    total_tokens: int
    elapsed_s: float
    cached_tokens: int = 0

    @property
    def tokens_per_s(self) -> float:
        """Mean speed so far; 0 before the first batch."""
        return self.done_tokens / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float:
        """Seconds left at the mean speed; 0 before the first batch."""
        speed = self.tokens_per_s
        return (self.total_tokens - self.done_tokens) / speed if speed else 0.0


ProgressCallback: TypeAlias = Callable[[Progress], None]
