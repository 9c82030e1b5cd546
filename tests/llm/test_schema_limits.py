"""Schemas that are much for a grammar: refused or answered, never the end of the process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from longctx import LongContextLLM, RequestError
from tests.conftest import TinyGguf
from tests.support.thorough import thorough


def chain(n: int) -> dict[str, Any]:
    """Objects in objects, each by a reference."""
    link = {f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(n)}
    return {"$defs": {**link, f"d{n}": {"type": "null"}}, "$ref": "#/$defs/d0"}


def nested(n: int) -> dict[str, Any]:
    """Objects in objects, each where it stands."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(n):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def itself() -> dict[str, Any]:
    """A dict that is in itself, which no JSON is."""
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"a": schema}
    return schema


def doubled(n: int) -> dict[str, Any]:
    """A dict that stands in few places, each of which stands in few: 2^n in all."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(n):
        schema = {"anyOf": [schema, schema]}
    return schema


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise."""
    with LongContextLLM(tiny_gguf(), 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"enum": []}, "anyOf is empty"),
        (nested(3000), "deep"),
        (itself(), "deep"),
        (doubled(50), "values"),
        pytest.param(chain(20_000), "deep", marks=thorough),
        ({"allOf": [chain(3)] * 2 + [{"anyOf": [{"const": i} for i in range(99)]}] * 9}, "."),
        ({"type": "string", "minLength": 1.5}, "minLength"),
        ({"properties": {"a": {"enum": {1, 2}}}}, "no JSON"),
        ({"const": float("nan")}, "no JSON"),
        ({"type": "string", "pattern": "(" * 5000 + ")" * 5000}, "regex"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "string", "allOf": [{"pattern": f"{i}"} for i in range(99)]}, "99 patterns"),
        ({"patternProperties": {f"^p{i}$": {} for i in range(99)}}, "99 patterns"),
    ],
)
def test_they_are_refused_before_any_work(
    llm: LongContextLLM, schema: dict[str, Any], said: str
) -> None:
    """By stream_chat itself, not by its first chunk."""
    with pytest.raises(RequestError, match=said):
        llm.stream_chat([{"role": "user", "content": "Hi"}], response_schema=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "null"}, "maxItems": 65_536},
        {"type": "string", "maxLength": 65_536},
        {"type": "string", "minLength": 1e9},
        {"type": "string", "pattern": "^(ab{2,65536})$"},
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "array", "items": {"type": "null"}, "minItems": 5, "maxItems": 1000},
        {"type": "object", "properties": {"maxLength": {"enum": ["x{9999}"]}}},
        {"enum": [f"value {i}" for i in range(10_000)]},
        chain(3000),
        {
            "type": "object",
            "properties": {f"p{i}": {"type": "null"} for i in range(4000)},
            "required": [f"p{i}" for i in range(4000)],
        },
        nested(40),
    ],
)
def test_what_can_be_done_is_done(llm: LongContextLLM, schema: dict[str, Any]) -> None:
    """Bounds are counted, not written out, and references are followed with room for it."""
    assert llm.generate("Hi", max_tokens=4, response_schema=schema).text


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "items": {"type": "null"}, "minItems": 10**9}, "Too many items"),
        ({"type": "string", "pattern": "^(a?){500}a{500}$"}, "too many expressions"),
    ],
)
def test_what_shows_itself_late_ends_its_own_answer(
    llm: LongContextLLM, schema: dict[str, Any], said: str
) -> None:
    """A billion nulls, all of them foretold; a pattern that matches in too many ways."""
    with pytest.raises(RequestError, match=said):
        llm.generate("Hi", max_tokens=4, response_schema=schema)
    assert llm.generate("Hi", max_tokens=4, response_schema={"const": 1}).text == "1"
