"""What requests of every protocol share: checked text, options of sampling, tools and calls.

One that would change the answer is never ignored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from longctx.options import sampling_fields
from longctx.sampling import MAX_BIAS, MAX_BREAKERS, RANGES, SAMPLING
from longctx.types import ToolCall

ThinkingBudget = Annotated[int, Field(ge=-1)]
Text = Annotated[str, Field(min_length=1)]


def _paired(value: Any) -> Any:
    """llama-server's pairs of a token and a bias, where false is never, as OpenAI's object."""
    if not isinstance(value, list):
        return value
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]
    if len(pairs) < len(value) or not all(isinstance(token, int | str) for token, _ in pairs):
        raise ValueError("a list of logit_bias has pairs of a token and a number, or false")
    return {str(token): -MAX_BIAS if bias is False else bias for token, bias in pairs}


_Biases = Annotated[dict[str, float], Field(max_length=4096), BeforeValidator(_paired)]
_Breakers = Annotated[list[Text], Field(max_length=MAX_BREAKERS)]
_SAYS_THINKING = frozenset({"enable_thinking", "thinking", "reasoning_effort"})


def _admit_null(schema: dict[str, Any]) -> None:
    """Say of every field that may be left out, or is none, that null leaves it out."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        admits = not field.keys() & {"type", "anyOf", "oneOf", "$ref", "const", "enum"}
        admits = admits or {"type": "null"} in field.get("anyOf", ())
        if name not in required and not admits:
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}]}
    if schema.get("additionalProperties") is False:
        schema["additionalProperties"] = {"type": "null"}


class Strict(BaseModel):
    """``"1"`` is no number and 1 no truth value; null is what is left out."""

    model_config = ConfigDict(strict=True, json_schema_extra=_admit_null)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absence(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: each for name, each in value.items() if each is not None}


class Tolerant(Strict):
    """Unknown members are no error, and known by name."""

    model_config = ConfigDict(extra="allow")

    def unknown(self, place: str) -> list[str]:
        """Its unknown members, with the place where it stands."""
        return [f"{place}.{name}" for name in self.model_extra or ()]


class Closed(Strict):
    """It has no unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Request(Closed):
    """What all requests share: no unknown fields, and text that is text."""

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
        kinds = {"logit_bias": _Biases | None, "dry_sequence_breakers": _Breakers | None}
        return (kinds.get(name, kind), None)
    bounds = Field(ge=limits.least, gt=limits.above, le=limits.most)
    return (Annotated[int if limits.is_whole else float, bounds] | None, None)


if TYPE_CHECKING:

    class _Sampled(Request):
        """What is drawn, and how."""
else:
    _Sampled = create_model(
        "_Sampled",
        __base__=Request,
        **{name: _sampling_field(name, kind) for name, (kind, _) in sampling_fields().items()},
    )


class AnswerRequest(_Sampled):
    """What asks for an answer: the options of sampling
    (:class:`longctx.options.SamplingOptions`), and whether it is streamed."""

    stop_on_repetition: bool | None = None
    stream: bool | None = None

    def sampling(self) -> dict[str, Any]:
        """The options that both ``stream`` and ``stream_chat`` take; unset ones are left out."""
        return given(
            stop_on_repetition=self.stop_on_repetition,
            **{name: getattr(self, name) for name in SAMPLING},
        )


class ThinkingRequest(Request):
    """What says how long a model may think: the number by its several names."""

    thinking_budget: ThinkingBudget | None = None
    thinking_budget_tokens: ThinkingBudget | None = None
    reasoning_budget: ThinkingBudget | None = None
    reasoning_budget_tokens: ThinkingBudget | None = None

    @property
    def budget(self) -> int | None:
        """The least that was said; None is no limit."""
        said = (
            self.thinking_budget,
            self.thinking_budget_tokens,
            self.reasoning_budget,
            self.reasoning_budget_tokens,
        )
        return min((n for n in said if n is not None and n >= 0), default=None)

    def budget_options(self) -> dict[str, Any]:
        """The option; without any reasoning there is nothing to bound."""
        return given(thinking_budget=self.budget or None)

    def effort(self, effort: str | None, variables: dict[str, Any] | None) -> bool | str | None:
        """As :func:`effort_of`, where the budget leaves anything."""
        return False if self.budget == 0 else effort_of(effort, variables)


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def template_options(variables: dict[str, Any] | None) -> dict[str, Any]:
    """The options of ``chat_template_kwargs``, which vLLM and llama-server have.

    Their ``enable_thinking`` is our ``thinking``: templates call the switch by several names.
    """
    rest = dict(variables or {})
    options: dict[str, Any] = given(thinking=rest.pop("enable_thinking", None))
    if rest:
        options["template_options"] = rest
    return options


def effort_of(effort: str | None, variables: dict[str, Any] | None) -> bool | str | None:
    """``thinking`` that an effort asks for: "none" is False.

    What the chat template is told by name (``chat_template_kwargs``) stands above it.
    """
    if (variables or {}).keys() & _SAYS_THINKING:
        return None
    return False if effort == "none" else effort


def answer_schema(kind: str, schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema that an answer is held to; None leaves it free.

    Args:
        kind: ``text``, ``json_object`` or ``json_schema``.
        schema: of the last, or of the object.
    """
    return {"text": None, "json_object": schema or {"type": "object"}}.get(kind, schema)


def text_or_list(value: Any) -> str:
    """Which of both a content is, so that what is wrong is said of that one alone."""
    return "list" if isinstance(value, list) else "text"


def function_tool(
    name: str, description: str | None, parameters: dict[str, Any] | None
) -> dict[str, Any]:
    """A tool in our form, which is OpenAI's."""
    return {
        "type": "function",
        "function": {"name": name, **given(description=description, parameters=parameters)},
    }


def check_choice(calls: bool, tools: object) -> None:
    """Refuse a choice that asks for a call where there is nothing to call.

    Raises:
        ValueError: it does.
    """
    if calls and not tools:
        raise ValueError("tool_choice asks for a call, and there are no tools")


def function_choice(name: str) -> dict[str, Any]:
    """``tool_choice`` of one function in our form, which is OpenAI's."""
    return {"type": "function", "function": {"name": name}}


def called(call_id: str, name: str, arguments: str) -> ToolCall:
    """A call of the conversation in our form: arguments as an object, or as the text that they
    are where they are none."""
    return ToolCall.parsed(call_id, name, arguments)
