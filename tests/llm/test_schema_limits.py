"""Schemas that are too much for a grammar: refused at once, instead of ending the process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from longctx import LongContextLLM, RequestError
from tests.conftest import TinyGguf

SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({"type": "array", "items": {"type": "null"}, "maxItems": 65_536}, "maxItems is 65536"),
    ({"type": "array", "items": {"type": "null"}, "minItems": 10**9}, "minItems"),
    ({"type": "string", "maxLength": 65_536}, "maxLength"),
    ({"type": "string", "minLength": 1e9}, "minLength"),
    ({"type": "string", "pattern": "^(ab{2,65536})$"}, "pattern"),
    ({"anyOf": [{"type": "object", "properties": {"a": {"maxLength": 4000}}}]}, "maxLength"),
    ({"enum": []}, "refuses the grammar"),
]


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise."""
    with LongContextLLM(tiny_gguf(), 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.mark.parametrize(("schema", "said"), SCHEMAS)
def test_they_are_refused_before_any_work(
    llm: LongContextLLM, schema: dict[str, Any], said: str
) -> None:
    """By stream_chat itself, not by its first chunk."""
    with pytest.raises(RequestError, match=said):
        llm.stream_chat([{"role": "user", "content": "Hi"}], response_schema=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "null"}, "minItems": 5, "maxItems": 1000},
        {"type": "string", "maxLength": 1000},
        {"type": "string", "pattern": "^a{1000}$"},
        {"type": "object", "properties": {"maxLength": {"enum": ["x{9999}"]}}},
    ],
)
def test_what_can_be_done_is_done(llm: LongContextLLM, schema: dict[str, Any]) -> None:
    """A thousand times is fine, and words that only look like a bound are none."""
    assert llm.generate("Hi", max_tokens=4, response_schema=schema).text
