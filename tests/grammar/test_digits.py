"""No number is written for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.grammar import Grammar, GrammarMatcher, TokenTable, json_grammar
from longctx.grammar.matcher import MAX_DIGITS
from tests.models import TINY

FOR_EVER: Any = {str(digit): 100 for digit in range(10)}


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The small trained model, which shall write nothing but digits."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "number", "exclusiveMinimum": -3.5},
        {"type": ["integer", "number", "null"], "minimum": 10},
        {"type": "integer"},
        {"type": "integer", "multipleOf": 3},
        {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
        {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]},
        {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
    ],
)
def test_a_number_comes_to_an_end(llm: LongContextLLM, schema: Any) -> None:
    """It has its whole part, a fraction and an exponent, of so many digits each."""
    said = llm.generate(
        "The number is ", max_tokens=700, response_schema=schema, logit_bias=FOR_EVER,
        stop_on_repetition=False,
    )  # fmt: skip
    assert said.finish_reason == "stop"
    assert len(said.text) < 3 * 3 * (MAX_DIGITS + 8)
    json.loads(said.text)


def test_long_numbers_are_numbers(llm: LongContextLLM) -> None:
    """What Python writes of any double, and decimals of forty digits, are let through."""
    tokens = TokenTable(llm.engine.model)
    grammar = json_grammar({"type": "number"})
    for text in ("1.7976931348623157e+308", "5e-324", "0.30000000000000004", "-0.1" + "2" * 38):
        matcher = GrammarMatcher(tokens, grammar)
        for token in llm.engine.model.encode(text):
            mask = matcher.mask()
            assert mask[token // 32] >> (token % 32) & 1, text
            matcher.accept(token)
        assert matcher.is_accepting


def test_digits_of_text_are_not_counted(llm: LongContextLLM) -> None:
    """Nor those that a pattern asks for; taken back, they have not been there."""
    model = llm.engine.model
    tokens = TokenTable(model)
    (one,) = model.encode("1")

    def allowed(matcher: GrammarMatcher) -> bool:
        return bool(matcher.mask()[one // 32] >> (one % 32) & 1)

    text = GrammarMatcher(tokens, json_grammar({"type": "string"}))
    text.accept_bytes(b'"' + b"1" * 60)
    assert allowed(text)
    code = GrammarMatcher(tokens, Grammar("start: /[0-9]{60}/\n"))
    code.accept_bytes(b"1" * 59)
    assert allowed(code)
    exponent = GrammarMatcher(tokens, json_grammar({"type": "number"}))
    exponent.accept_bytes(b"1.5e-30")
    assert allowed(exponent)
    exponent.accept(one)
    assert not allowed(exponent)
    number = GrammarMatcher(tokens, json_grammar({"type": "number"}))
    for _ in range(MAX_DIGITS):
        assert allowed(number)
        number.accept(one)
    assert not allowed(number)
    number.rollback(2)
    assert allowed(number)
