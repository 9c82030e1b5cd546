"""No number is written for ever."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.chat.calls.format import HERMES
from longctx.chat.calls.grammar import call_grammar
from longctx.grammar import Grammar, GrammarMatcher, TokenTable, json_grammar
from longctx.grammar.numbers import MAX_DIGITS, Place
from tests.models import TINY
from tests.support.thorough import thorough

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
        assert can_be_written(llm, tokens, grammar, text), text


def can_be_written(llm: LongContextLLM, tokens: TokenTable, grammar: Grammar, text: str) -> bool:
    """Whether each token of a text is let through, and it may end there."""
    matcher = GrammarMatcher(tokens, grammar)
    for token in llm.engine.model.encode(text):
        if not matcher.mask()[token // 32] >> (token % 32) & 1:
            return False
        matcher.accept(token)
    return matcher.is_accepting


def _sha256(number: random.Random) -> str:
    return hashlib.sha256(number.randbytes(8)).hexdigest()


@pytest.mark.parametrize(
    ("schema", "make"),
    [
        pytest.param(
            {"type": "string", "format": "uuid"},
            lambda number: str(uuid.UUID(int=number.getrandbits(128))),
            marks=thorough,
        ),
        ({"type": "string", "pattern": "^[0-9a-f]{64}$"}, _sha256),
        pytest.param(
            {"type": "string", "pattern": "^[0-9.e]{60}x?$"},
            lambda number: "".join(number.choices("0123456789.e", k=60)),
            marks=thorough,
        ),
        (
            {"type": "string", "pattern": "^\\\\[0-9]{45,60}[ ,:x]$"},
            lambda number: "\\" + "".join(number.choices("0123456789", k=50)) + "x",
        ),
        ({"type": "string", "enum": ["1e4567", "1e456 7", "1e456"]}, lambda _: "1e4567"),
    ],
)
def test_text_has_the_digits_that_its_schema_asks_for(
    llm: LongContextLLM, schema: Any, make: Callable[[random.Random], str]
) -> None:
    """Alone, behind a number, as a key, and in a call: nothing in a string is an exponent."""
    tokens = TokenTable(llm.engine.model)
    alone = json_grammar(schema)
    pair = {"n": {"type": "number"}, "said": {"type": "string"}, "id": schema}
    inside = {"type": "object", "properties": pair, "required": [*pair]}
    other = json_grammar(inside)
    called = call_grammar(HERMES, {"find": inside}, lambda text: [text])
    numbers = random.Random(1)
    for text in (json.dumps(make(numbers)) for _ in range(200)):
        assert can_be_written(llm, tokens, alone, text), text
    for text in (json.dumps(make(numbers)) for _ in range(20)):
        value = f'{{"n": 1.5e300, "said": "\\"1\\\\", "id": {text}}}'
        assert can_be_written(llm, tokens, other, value), value
        call = f'<tool_call>\n{{"name": "find", "arguments": {value}}}\n</tool_call>'
        assert can_be_written(llm, tokens, called, call), call


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1" * 39, False),
        ("1" * 40, True),
        ("-" + "1" * 40, True),
        ("[0." + "1" * 40, True),
        ("0." + "1" * 40 + "e", False),
        ("1e10", False),
        ("1e-100", True),
        ("[2, 1E+100", True),
        ('{"a": 1e100', True),
        ('{"a\\"": 1e100', True),
        ('{"a": "\\\\", "b": 1e100', True),
        ('"1e100', False),
        ('"\\"1e100', False),
        ('["a", "1e100', False),
        ("8a1e100", False),
        ('5" of rain\n1e100', True),
        ("x1e100", False),
        ("", False),
    ],
)
def test_where_a_number_is_long(text: str, expected: bool) -> None:
    """However the text is cut into tokens."""
    assert Place().after(text or " ").is_long_number == expected
    one_by_one = Place()
    for character in text:
        one_by_one = one_by_one.after(character)
    assert one_by_one.is_long_number == expected


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
    code = GrammarMatcher(tokens, Grammar("start: /[0-9]{50,60}/\n"))
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
