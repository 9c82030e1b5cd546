"""JSON schemas as grammars: all that a model of noise writes by one is valid by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel

from longctx import LongContextLLM, RequestError
from longctx._native import Model
from longctx.grammar import json_grammar
from tests.grammar import common_models
from tests.grammar.acceptor import accepts
from tests.grammar.common_models import Addresses, Encoded, Site
from tests.grammar.common_schemas import COMMON
from tests.grammar.schemas import LINKED_LIST, MODELS, SCHEMAS, Bounded, Page, Price
from tests.models import TINY
from tests.support.thorough import quick

N_SAMPLES = 4
SOME = ("Review", "Tree", "Price", "Pet", "union", "bounds", "uuid", "patternProperties")
SAYS_LESS = (Page, Price, Bounded, Site, Encoded, Addresses)
"""Their schemas let through what the classes refuse: words for a Decimal, any scheme of a URL, any
text for JSON, a day in the future."""
NO_END = ("linked list", "an expression")
"""A model of noise seldom ends what contains itself."""


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """Writes words, whatever it is asked."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="module")
def tiny() -> Iterator[Model]:
    """Its vocabulary."""
    model = Model(TINY, vocab_only=True)
    yield model
    model.close()


@pytest.fixture(scope="module")
def demo_llm() -> Iterator[LongContextLLM]:
    """The packaged model."""
    with LongContextLLM(target_ctx=1024, reserve_output=256) as llm:
        yield llm


def check(schema: dict[str, Any], text: str) -> None:
    """Whether a text is JSON, and as the schema says."""
    validator = jsonschema_rs.validator_for({**schema, "$schema": _DRAFT}, validate_formats=True)
    validator.validate(json.loads(text, parse_float=_finite))


def _finite(digits: str) -> float:
    """JSON has numbers that a double has not, which the judge takes for null."""
    return min(max(float(digits), -1e308), 1e308)


_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", quick(SCHEMAS, *SOME))
def test_samples_are_valid(llm: LongContextLLM, name: str) -> None:
    """At temperature 1; what did not come to an end in 400 tokens is no answer."""
    schema, finished = SCHEMAS[name], 0
    for seed in range(N_SAMPLES if name in NO_END else 3 * N_SAMPLES):
        answer = llm.generate(
            "The ", max_tokens=400, temperature=1.0, seed=seed, response_schema=schema
        )
        if answer.finish_reason == "stop":
            check(schema, answer.text)
            finished += 1
        if finished == N_SAMPLES:
            return
    assert finished or name in NO_END, "none came to an end"


@pytest.mark.parametrize("name", quick(COMMON, *list(COMMON)[::3]))
def test_samples_of_common_schemas_are_valid(llm: LongContextLLM, name: str) -> None:
    """Each passes, holds the answer without a warning, and lets it come to an end."""
    assert json_grammar(COMMON[name]).warnings == ()
    finished = 0
    for seed in range(3):
        answer = llm.generate(
            "The ", max_tokens=200, temperature=1.0, seed=seed, response_schema=COMMON[name]
        )
        if answer.finish_reason == "stop":
            check(COMMON[name], answer.text)
            finished += 1
    assert finished or name in NO_END, "none came to an end"


@pytest.mark.parametrize(
    "model",
    [m for m in (*MODELS, *common_models.MODELS) if m not in SAYS_LESS],
    ids=lambda m: m.__name__,
)
def test_pydantic_reads_what_is_written(llm: LongContextLLM, model: type[BaseModel]) -> None:
    """The class itself, discriminators and decimals included."""
    answer = llm.generate("A ", max_tokens=500, temperature=0.8, seed=5, response_schema=model)
    if answer.finish_reason == "stop":
        model.model_validate_json(answer.text)


@pytest.mark.parametrize(
    "name", quick(["Named", "Review", "Pet", "Paint", "Tree", "bounds"], "Review", "Tree")
)
def test_the_demo_model(demo_llm: LongContextLLM, name: str) -> None:
    """A vocabulary of 49,000 tokens, and a model that knows JSON."""
    question = [{"role": "user", "content": "Make something up, as JSON."}]
    answer = demo_llm.chat(question, temperature=1.0, seed=2, response_schema=SCHEMAS[name])
    assert answer.finish_reason == "stop"
    check(SCHEMAS[name], answer.text)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (LINKED_LIST, ['{"linked_list": {"value": 1.5, "next": null}}'], ['{"linked_list": null}']),
        ({"type": "string"}, ['"a"', '"é\\n"', '""'], ['"a\nb"', "a", '"a', '"\t"']),
        ({}, ["1", "[]", '{"a": [1, {}]}', "null"], ["", "[1,", "{a: 1}", "01"]),
        ({"type": "integer"}, ["0", "-1", "12"], ["1.0", "1e3", "01", "-", "+1"]),
        ({"type": "array", "items": {"type": "null"}}, ["[]", "[null, null]"], ["[null,", "[1]"]),
        (
            SCHEMAS["a Decimal's pattern"],
            ['{"a": "1.5"}', '{"a": "-0"}', '{"a": ".5"}'],
            ['{"a": "-."}', '{"a": ""}', '{"a": "1.234"}', '{"a": "x"}'],
        ),
        (SCHEMAS["Pet"], ['{"pet": {"kind": "dog", "good": true}}'], ['{"pet": {"good": true}}']),
        (SCHEMAS["Named"], ['{"name": "x"}'], ['{"name": "x", "b": 1}', "{}", '{ "name": "x"}']),
        ({"type": "object"}, ['{"any": 1, "b": {}}', "{}"], ["[]"]),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, ['{"a": 1, "b": 2}', "{}"], []),
    ],
)
def test_what_a_schema_lets_through(
    tiny: Model, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    """Blanks as json.dumps writes them, no raw line feed in a string, no property of its own."""
    grammar = json_grammar(schema)
    assert [text for text in good if not accepts(tiny, grammar, text)] == []
    assert [text for text in bad if accepts(tiny, grammar, text)] == []


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
        ({"not": {"format": "email"}}, "'not'"),
        ({"not": {}}, "nothing satisfies it"),
        ({"if": {}, "then": {"type": "null"}}, "'then'"),
        ({"properties": {"a": {"contains": {"const": 1}}}}, "'contains'"),
        ({"type": "object", "propertyNames": {"anyOf": [{"minLength": 1}]}}, "'propertyNames'"),
        ({"type": "fancy"}, "fancy"),
        ({"$ref": "#/$defs/none"}, "/\\$defs/none"),
        ({"$ref": "https://example.com/x.json"}, "example.com"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "minimum"),
        ({"properties": 3}, "properties"),
    ],
)
def test_what_makes_no_grammar_is_named(schema: dict[str, Any], said: str) -> None:
    """The keyword, or what else is wrong."""
    with pytest.raises(RequestError, match=f"(?s)cannot be turned into a grammar.*{said}"):
        json_grammar(schema)


def test_what_holds_nothing_is_said(caplog: pytest.LogCaptureFixture, llm: LongContextLLM) -> None:
    """An answer may break it."""
    overlapping = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    (warning,) = json_grammar(overlapping).warnings
    assert "oneOf" in warning
    schema = {"type": "string", "format": "regex", "maxLength": 3}
    with caplog.at_level("WARNING", "longctx"):
        llm.generate("Hi", max_tokens=2, response_schema=schema)
    assert "'regex'" in caplog.text
    assert json_grammar({"type": "integer", "format": "int64"}).warnings == ()


def test_a_schema_cannot_ask_for_less(tiny: Model) -> None:
    """llguidance's own options, in a schema that a stranger sent."""
    with pytest.raises(RequestError, match="'not'"):
        json_grammar({"x-guidance": {"lenient": True}, "type": "string", "not": {"const": ""}})
    grammar = json_grammar({"x-guidance": {"whitespace_flexible": True}, "type": "array"})
    assert not accepts(tiny, grammar, "[ ]")


def test_a_grammar_is_a_value() -> None:
    """Equal schemas make equal grammars, which are compiled once."""
    one, two = json_grammar({"type": "null"}), json_grammar({"type": "null"})
    assert one == two
    assert len({one, two, json_grammar({"type": "string"})}) == 2
