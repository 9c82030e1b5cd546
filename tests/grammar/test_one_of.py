"""Alternatives of which an answer must match one alone, and names that are held to a pattern."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from longctx import RequestError
from longctx._native import Model
from longctx.grammar import json_grammar
from longctx.grammar.one_of import told_apart
from tests.grammar.acceptor import accepts
from tests.models import TINY
from tests.support.thorough import thorough


@pytest.fixture(scope="module")
def tiny() -> Iterator[Model]:
    """The small model's vocabulary."""
    model = Model(TINY, vocab_only=True)
    yield model
    model.close()


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


BOOLEAN = {"type": "boolean"}
ALTERNATIVES: list[Any] = [
    True,
    {"type": "number", "minimum": 3},
    {"minimum": 5, "maximum": 8},
    {"type": "integer", "exclusiveMaximum": 4},
    {"type": ["string", "null"], "minLength": 2},
    {"maxLength": 2},
    {"enum": ["a", "abc", 3, 3.0, None]},
    {"const": 7.0},
    {"enum": [7, "x"]},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 1},
    {"minItems": 2},
    _object("a", a=BOOLEAN),
    _object("b", b=BOOLEAN, a={"type": "null"}),
    _object(a=BOOLEAN, c={"type": "integer"}),
    {**_object(b=BOOLEAN), "additionalProperties": False},
    _object("kind", kind={"const": "x"}, a=BOOLEAN),
    _object(kind={"enum": ["y", "z"]}, a=BOOLEAN),
    {"required": ["a", "b"]},
    {"allOf": [{"minProperties": 2}, {"type": "object"}]},
    {"anyOf": [{"type": "null"}, {"type": "array"}]},
]
VALUES: list[Any] = [
    None, True, -1, 0, 3, 3.5, 4, 5, 7, 8, 8.5, 9, "", "a", "x", "ab", "abc", [], [1], [1, 2],
    ["a"], {}, {"a": True}, {"a": None}, {"b": True}, {"a": True, "b": True},
    {"b": True, "a": None}, {"kind": "x"}, {"kind": "y"}, {"kind": "x", "a": True},
    {"a": True, "c": 1}, {"c": 1},
]  # fmt: skip
TEXTS = [json.dumps(value) for value in VALUES]


@thorough
def test_whatever_passes_matches_one_alone(tiny: Model) -> None:
    """All pairs: what is taken as anyOf says so, and of the rest no value is let through twice."""
    n_held = n_said = n_passed = 0
    for pair in itertools.combinations(ALTERNATIVES, 2):
        schema = {"oneOf": [*pair]}
        try:
            grammar = json_grammar(schema)
        except RequestError:
            continue
        if grammar.warnings:
            n_said += 1
            continue
        n_held += 1
        validator = jsonschema_rs.validator_for(schema)
        for value, text in zip(VALUES, TEXTS, strict=True):
            if accepts(tiny, grammar, text):
                n_passed += 1
                assert validator.is_valid(value), (schema, text)
    assert n_held >= 91, (n_held, n_said)
    assert n_passed > 5 * n_held


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"oneOf": [_object("card", card=BOOLEAN), _object("iban", iban=BOOLEAN)]},
            ['{"card": true}', '{"iban": true}'],
            ["{}", '{"card": true, "iban": true}'],
        ),
        (
            {**_object(a=BOOLEAN, b=BOOLEAN), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            ['{"a": true}', '{"b": true}'],
            ["{}", '{"a": true, "b": true}'],
        ),
        (  # of one that need not have what tells them apart, also what does not have it
            {"oneOf": [_object("b", b={"type": "number"}), _object("c", b={"type": "string"},
                                                                  c=BOOLEAN)]},
            ['{"c": true}', '{"b": "x", "c": true}'],
            ["{}"],
        ),
        (
            {
                "$defs": {
                    "add": _object("l", kind={"const": "+"}, l={"$ref": "#/$defs/e"}),
                    "one": _object(kind={"const": "1"}),
                    "e": {"oneOf": [{"$ref": "#/$defs/add"}, {"$ref": "#/$defs/one"}]},
                },
                "$ref": "#/$defs/e",
            },
            ['{"kind": "1"}', '{"kind": "+", "l": {"kind": "+", "l": {"kind": "1"}}}'],
            ['{"kind": "+"}', '{"kind": "2"}', '{"kind": "+", "l": {"kind": "+"}}'],
        ),
        (
            {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 2}]},
            ["1", "4"],
            ["2", "3"],
        ),
        ({"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, ['"a"', '"c"'], ['"b"']),
        (
            {"propertyNames": {"enum": ["a", "b.c"]}, "additionalProperties": BOOLEAN,
             "type": "object"},
            ["{}", '{"a": true}', '{"b.c": true}'],
            ['{"c": true}', '{"bxc": true}', '{"a": 1}'],
        ),
        (
            {"propertyNames": {"maxLength": 2, "minLength": 1}, "type": "object"},
            ["{}", '{"a": true}', '{"\\n ": 1}'],
            ['{"": true}', '{"abc": true}'],
        ),
        (  # JSON's names are all texts
            {"propertyNames": {"enum": [1, "a"]}, "type": "object"},
            ['{"a": 1}'],
            ['{"1": 1}'],
        ),
        (
            {"propertyNames": {"maxLength": 2.0}, "type": "object"},
            ['{"ab": 1}'],
            ['{"abc": 1}'],
        ),
        (  # of every record of zod's
            {"propertyNames": {"type": "string"}, "additionalProperties": BOOLEAN,
             "type": "object"},
            ["{}", '{"abc": true}'],
            ['{"abc": 1}'],
        ),
        (
            {
                "$defs": {"k": {"pattern": "^x", "type": "string"}},
                "propertyNames": {"$ref": "#/$defs/k"},
                "type": "object",
            },
            ['{"xy": 1}'],
            ['{"yx": 1}'],
        ),
    ],
)  # fmt: skip
def test_what_is_let_through(
    tiny: Model, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    """Each alternative, and nothing that two of them hold."""
    grammar = json_grammar(schema)
    assert grammar.warnings == ()
    validator = jsonschema_rs.validator_for(schema)
    assert all(validator.is_valid(json.loads(text)) for text in good)
    assert not any(validator.is_valid(json.loads(text)) for text in bad)
    assert [text for text in good if not accepts(tiny, grammar, text)] == []
    assert [text for text in bad if accepts(tiny, grammar, text)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"oneOf": [{"type": "integer"}, {"type": "string"}, {"const": 3}]},
        {"oneOf": [{"type": "string"}, {"type": "string", "format": "date"}]},
        {"oneOf": [_object(bark=BOOLEAN), _object(hunts=BOOLEAN)]},
        {"oneOf": [{"pattern": str(n), "type": "string"} for n in range(100)]},
        {"$defs": {"x": {"oneOf": [{"allOf": [{"$ref": "#/$defs/x"}]}, {"minLength": 2}]}},
         "oneOf": [{"$ref": "#/$defs/x"}, {"type": "string", "format": "date"}]},
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_said(schema: dict[str, Any]) -> None:
    """It is taken as anyOf."""
    try:
        said = json_grammar(schema).warnings
    except RequestError as error:
        said = (str(error),)
    assert said


@pytest.mark.parametrize(
    ("alternatives", "texts"),
    [
        (
            [{"type": "string", "format": name} for name in ("date", "date-time")],
            ['"2026-11-26"', '"2026-11-26T12:00:00Z"'],
        ),
        ([{"type": "string", "pattern": p} for p in ("^a", "^b")], ['"a1"', '"b1"']),
        (
            [{"type": "array", "items": {"type": t}} for t in ("integer", "string")],
            ["[1, 2]", '["x"]'],
        ),
        ([{"type": "integer"}, {"type": "number"}], ["2.5"]),
        ([{"type": ["string", "boolean"]}, {"type": "string", "pattern": "^x"}], ['"y"', "true"]),
        ([{"anyOf": [{"type": "string"}, BOOLEAN]}, {"pattern": "^x"}], ['"y"', "true"]),
        (
            [_object("a", a=BOOLEAN), _object("a", "b", a={"const": True}, b=BOOLEAN)],
            ['{"a": false}', '{"a": true, "b": true}'],
        ),
        (  # one that holds nothing, beside others that are narrowed
            [{**_object("z", a=BOOLEAN), "additionalProperties": False}, _object("a", a=BOOLEAN),
             _object("b", b=BOOLEAN)],
            ['{"a": true}', '{"b": true}'],
        ),
    ],
)  # fmt: skip
def test_no_alternative_is_lost_silently(
    tiny: Model, alternatives: list[Any], texts: list[str]
) -> None:
    """Beside one that differs in its type: all can be written, and it is said."""
    grammar = json_grammar({"oneOf": [{"type": "null"}, *alternatives]})
    assert grammar.warnings
    assert [text for text in ["null", *texts] if not accepts(tiny, grammar, text)] == []


def test_an_object_of_any_names_stays_one(tiny: Model) -> None:
    """What another requires is all that it does not have, where that one may be more than it."""
    other = {"anyOf": [_object("error", error=BOOLEAN), {"type": "null"}]}
    grammar = json_grammar({"oneOf": [{"type": "object"}, other]})
    assert grammar.warnings == ()
    assert accepts(tiny, grammar, '{"a": 1, "b": 2}')
    assert not accepts(tiny, grammar, '{"error": true}')


def test_malformed_alternatives_are_no_other_error() -> None:
    """Names that are no text, bounds that are none, constants that are no JSON."""
    for odd in ({"required": [["a"]]}, {"minLength": "2"}, {"type": [["x"]]}, 3, {"properties": 3}):
        for other in ({"type": "object"}, {}, {"required": ["a"], "type": "object"}):
            try:
                json_grammar({"oneOf": [odd, other]})
            except RequestError:
                continue


def test_what_is_large_is_not_compared() -> None:
    """References that lead to millions of properties, and alternatives by the dozen."""
    levels = {
        f"L{k}": _object(**{f"p{i}": {"$ref": f"#/$defs/L{k + 1}"} for i in range(60)})
        for k in range(4)
    }
    alternatives = [_object(**{"x": {"$ref": "#/$defs/L0"}, f"k{i}": BOOLEAN}) for i in range(60)]
    assert "oneOf" in told_apart({"$defs": {**levels, "L4": BOOLEAN}, "oneOf": alternatives})
