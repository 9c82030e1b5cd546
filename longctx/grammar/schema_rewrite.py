"""Writes JSON schemas so that llguidance takes them, and small models fill them well.

Nothing here lets more through than the schema does. Less is let through in three places: an object
that lists its properties gets no others, the alternatives of a ``oneOf`` are narrowed until they
have nothing in common, and whole numbers are those of 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeGuard

from longctx.grammar.formats import ASSERTING, DURATION, HELD
from longctx.grammar.negation import without_not
from longctx.grammar.one_of import OVERLAP, may_overlap, told_apart
from longctx.grammar.patterns import of_rust, without_lookahead
from longctx.grammar.property_names import with_named_patterns
from longctx.grammar.schema_walk import Schema, every, rewrite
from longctx.grammar.schema_without import SAYS_NOTHING

_HOLDS_NOTHING: tuple[tuple[str, Any], ...] = (
    ("uniqueItems", False),
    ("propertyNames", True),
    ("propertyNames", {}),
    ("unevaluatedProperties", True),
    ("unevaluatedProperties", {}),
    ("unevaluatedItems", True),
    ("unevaluatedItems", {}),
    ("dependentRequired", {}),
    ("dependentSchemas", {}),
    ("dependencies", {}),
    ("not", False),
)
_COUNTS = (
    "maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"
)  # fmt: skip
_FARTHEST = 2**63 - 1024
"""The largest double that 64 bits hold as a whole number: bounds beyond it make no grammar, and
without one a small model may never stop writing digits."""
_LARGEST_STEP = 1000
_DRAFTS = "json-schema.org/draft"
# What makes others of an object's properties known, or its own known elsewhere.
_COMBINES = frozenset(
    {
        "$dynamicRef", "$recursiveRef", "$ref", "allOf", "anyOf", "dependencies",
        "dependentSchemas", "else", "if", "not", "oneOf", "then",
    }
)  # fmt: skip
_OF_OBJECTS = frozenset(
    {"additionalProperties", "patternProperties", "properties", "unevaluatedProperties"}
)


def rewritten(schema: Mapping[str, Any], *, tells_apart: bool) -> tuple[Schema, tuple[str, ...]]:
    """A schema as llguidance takes it, and what of it does not hold the answer, in sentences.

    Args:
        schema: of any draft.
        tells_apart: narrow the alternatives of a ``oneOf`` until they have nothing in common.
    """
    warnings: dict[str, None] = {}
    references = [s["$ref"] for s in every(schema) if isinstance(s.get("$ref"), str)]
    ready = rewrite(schema, dict)
    if tells_apart and not any("/oneOf/" in reference for reference in references):
        ready = told_apart(ready)
    if any("not" in each for each in every(ready)):
        ready = rewrite(ready, partial(without_not, ready))
    ready = rewrite(ready, partial(with_named_patterns, ready, warnings=warnings))
    ready = rewrite(ready, partial(_plain, warnings=warnings))
    if any(may_overlap(ready, s) for s in every(ready)):
        warnings[OVERLAP] = None
    if not any(_is_joined(s) for s in every(ready)):
        ready = rewrite(ready, _closed)
    if not (isinstance(ready.get("$schema", ""), str) and _DRAFTS in ready.get("$schema", "")):
        ready.pop("$schema", None)
    return ready, tuple(warnings)


def said_otherwise(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Schema:
    """One schema, its inner ones as they are, in the keywords that there are for what it says."""
    ready = with_named_patterns(root, without_not(dict(root), dict(schema)), warnings={})
    return _plain(dict(ready), warnings={})


def _plain(schema: Schema, warnings: dict[str, None]) -> Schema:
    """Without what asserts nothing, and in the forms that llguidance reads."""
    for key, value in _HOLDS_NOTHING:
        if key in schema and schema[key] == value and type(schema[key]) is type(value):
            del schema[key]
    if "anyOf" in schema:  # llguidance merges them into each alternative, which no circle allows
        for key in SAYS_NOTHING:
            schema.pop(key, None)
    name = schema.get("format")
    if isinstance(name, str) and name not in HELD:
        del schema["format"]
        if name in ASSERTING:
            warnings[f"no grammar is known for the format {name!r}: any string passes"] = None
    if name == "duration" and "pattern" not in schema:
        schema["pattern"] = DURATION
        del schema["format"]
    for key in _COUNTS:
        value = schema.get(key)
        if isinstance(value, float) and value.is_integer():
            schema[key] = int(value)  # JSON knows no difference
    kinds = schema.get("type")
    if kinds in ("integer", "number") or (isinstance(kinds, list) and "integer" in kinds):
        _bound(schema)
    if isinstance(schema.get("pattern"), str):
        schema = without_lookahead({**schema, "pattern": of_rust(schema["pattern"])})
    named = schema.get("patternProperties")
    if isinstance(named, Mapping):
        schema["patternProperties"] = {of_rust(str(name)): part for name, part in named.items()}
    if schema.get("unevaluatedProperties") is False and not schema.keys() & _COMBINES:
        del schema["unevaluatedProperties"]
        schema.setdefault("additionalProperties", False)
    return schema


def _bound(schema: Schema) -> None:
    """Let whole numbers be those of 64 bits, and multiples, where the grammar stays small.

    The digits of other numbers are bounded as they are written: a bound would forbid exponents.
    """
    step = schema.get("multipleOf")
    is_multiple = _is_number(step) and 0 < step <= _LARGEST_STEP
    is_whole = "number" not in schema["type"] and step is None
    for key, other, farthest in (
        ("minimum", "exclusiveMinimum", -_FARTHEST),
        ("maximum", "exclusiveMaximum", _FARTHEST),
    ):
        for name in (key, other):
            value = schema.get(name)
            if _is_number(value) and abs(value) > _FARTHEST and (value < 0) == (farthest < 0):
                schema[name] = farthest
        if not schema.keys() & {key, other} and (is_whole or is_multiple):
            schema[key] = farthest


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_joined(schema: Mapping[str, Any]) -> bool:
    """Whether an object here may be described in several places at once."""
    parts = schema.get("allOf")
    alone = isinstance(parts, list) and len(parts) == 1 and not schema.keys() & _OF_OBJECTS
    combining = schema.keys() & _COMBINES
    if combining <= {"allOf"} and alone:
        return False
    if combining & {"allOf", "if", "not", "then", "else", "dependencies", "dependentSchemas"}:
        return True
    return len(combining) > 1 or bool(combining and schema.keys() & _OF_OBJECTS)


def _closed(schema: Schema) -> Schema:
    """An object that lists its properties, without others: small models never come to an end."""
    listed = schema.get("properties")
    required = schema.get("required", [])
    fewest = schema.get("minProperties", 0)
    if (
        isinstance(listed, Mapping)
        and any(part is not False for part in listed.values())
        and schema.get("type", "object") == "object"
        and not schema.keys() & (_OF_OBJECTS - {"properties"})
        and isinstance(required, list)
        and all(isinstance(name, str) and name in listed for name in required)
        and isinstance(fewest, int)
        and fewest <= len(listed)
    ):
        schema["additionalProperties"] = False
    return schema
