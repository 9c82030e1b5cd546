"""The options of an answer: how long, how it is drawn, where it ends, what form it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import FrozenSetSchema, SetSchema

from longctx.arguments.values import flag, real, shown, whole
from longctx.errors import RequestError

GREEDY_BELOW = 1e-5
"""Temperatures below this are greedy: divided by them, logits leave float32, and the softmax of
infinities is no number."""
MAX_TEMPERATURE = 100.0
_N_SEEDS = 0xFFFFFFFF  # the last of 32 bits, which llama.cpp takes for "draw one"


def max_tokens(value: Any) -> int | None:
    """Most tokens of an answer: 0 or more; None, and -1 as llama.cpp has it, bound it by the window
    alone.

    Raises:
        RequestError: it is no such number.
    """
    if value is None:
        return None
    number = whole("max_tokens", value, least=-1)
    return None if number == -1 else number


def temperature(value: Any) -> float:
    """Of sampling, None the default: 0, greedy, up to 100; one too small for float32 is 0.

    Raises:
        RequestError: it is no such number.
    """
    found = 0.0 if value is None else real("temperature", value, least=0, most=MAX_TEMPERATURE)
    return found if found >= GREEDY_BELOW else 0.0


def seed(value: Any) -> int | None:
    """Of sampling: any whole number, as one of llama.cpp's; None draws one.

    llama.cpp draws a seed of its own for 4294967295, which -1 is in its 32 bits; here both are
    seeds like others, and repeat.

    Raises:
        RequestError: it is no whole number.
    """
    return None if value is None else whole("seed", value) % _N_SEEDS


def stop_strings(value: Any) -> tuple[str, ...]:
    """Strings that end an answer: one, several, or none.

    Raises:
        RequestError: one is empty or no text.
    """
    if value is None:
        return ()
    found = (value,) if isinstance(value, str) else value
    if isinstance(found, Collection) and not isinstance(found, Mapping | bytes | bytearray):
        stops = tuple(found)
        if all(isinstance(text, str) and text for text in stops):
            return stops
    raise RequestError(f"stop is {shown(value)}; use a text, or a list of texts, none empty")


def top_logprobs(value: Any) -> int | None:
    """How many likely tokens to tell beside each: 0 (each token of the answer alone), or more.

    Raises:
        RequestError: it is no such number, nor None.
    """
    return None if value is None else whole("top_logprobs", value, least=0)


def prompt_lookup(value: Any) -> bool | None:
    """Whether to draft from the text so far: yes, no (None is no), or "auto".

    Returns:
        True or False; None where the clock decides.

    Raises:
        RequestError: it is something else.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value == "auto":
        return None
    raise RequestError(f"prompt_lookup is {shown(value)}; use True, False or 'auto'")


def stop_on_repetition(value: Any) -> bool:
    """Whether an endless repetition ends an answer, None the default: yes.

    Raises:
        RequestError: it is neither true nor false.
    """
    return _unless_false("stop_on_repetition", value)


def parallel_tool_calls(value: Any) -> bool:
    """Whether an answer may have several calls, None the default: yes.

    Raises:
        RequestError: it is neither true nor false.
    """
    return _unless_false("parallel_tool_calls", value)


def _unless_false(name: str, value: Any) -> bool:
    return value is None or flag(name, value)


class _OfAnswers(GenerateJsonSchema):
    """Schemas of what pydantic reads, of which a set may be written with one item twice."""

    def set_schema(self, schema: SetSchema) -> JsonSchemaValue:
        """Of a set."""
        return _of_list(super().set_schema(schema))

    def frozenset_schema(self, schema: FrozenSetSchema) -> JsonSchemaValue:
        """Of a frozen set."""
        return _of_list(super().frozenset_schema(schema))


def _of_list(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The same without ``uniqueItems``, but where so many different items must be there."""
    if schema.get("minItems", 0) > 1:
        return schema
    return {key: value for key, value in schema.items() if key != "uniqueItems"}


def json_schema(value: Any) -> dict[str, Any]:
    """A JSON schema, or that of a pydantic model.

    Raises:
        RequestError: it is neither.
    """
    if isinstance(value, type) and issubclass(value, BaseModel):
        try:
            owner = next(each for each in value.mro() if "model_json_schema" in vars(each))
            if owner is not BaseModel:
                return value.model_json_schema()  # its own, which may take no generator
            return value.model_json_schema(schema_generator=_OfAnswers)
        except (PydanticUserError, RecursionError) as error:
            raise RequestError(
                f"response_schema: {value.__name__} has no JSON schema ({error}); pass one that "
                "you wrote, as a dict"
            ) from error
    if isinstance(value, dict):
        return value
    raise RequestError(
        f"response_schema is a {type(value).__name__}; "
        "pass a JSON schema as a dict, or a pydantic model class"
    )
