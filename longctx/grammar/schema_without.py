"""What one JSON schema holds and another does not, as schemas: a part of it that can be written.

A value is refused by a schema if any one of its keywords refuses it, so a schema is narrowed by
turning around those that can be. What cannot be (``pattern``, ``format``, …) is left out, and so
less is let through than could be, and never more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from math import ceil, floor, inf
from operator import ge, gt, le, lt
from typing import Any, TypeGuard

from longctx.grammar.schema_walk import Schema, inner, resolve

_MAX_HOPS = 64
_MAX_DEPTH = 3
MAX_PIECES = 16
_TYPES = ("array", "boolean", "null", "number", "object", "string")
SAYS_NOTHING = frozenset(
    {
        "$comment", "default", "deprecated", "description", "discriminator", "examples", "readOnly",
        "title", "writeOnly",
    }
)  # fmt: skip
"""Keywords that assert nothing."""
_BOUNDS: tuple[tuple[str, str, Callable[[Any, Any], bool], str, int], ...] = (
    ("minimum", "number", lt, "exclusiveMaximum", 0),
    ("exclusiveMinimum", "number", le, "maximum", 0),
    ("maximum", "number", gt, "exclusiveMinimum", 0),
    ("exclusiveMaximum", "number", ge, "minimum", 0),
    ("minLength", "string", lt, "maxLength", -1),
    ("maxLength", "string", gt, "minLength", 1),
    ("minItems", "array", lt, "maxItems", -1),
    ("maxItems", "array", gt, "minItems", 1),
    ("minProperties", "object", lt, "maxProperties", -1),
    ("maxProperties", "object", gt, "minProperties", 1),
)
"""A keyword, the type that it is about, what it refuses, and the keyword that holds just that, with
what is added to its bound."""


_ABOUT = {
    **{row[0]: row[1] for row in _BOUNDS},
    **dict.fromkeys(("pattern", "format"), "string"),
    **dict.fromkeys(("items", "prefixItems"), "array"),
    **dict.fromkeys(("additionalProperties", "patternProperties", "properties"), "object"),
    **dict.fromkeys(("propertyNames", "required"), "object"),
    "multipleOf": "number",
}
"""Keywords that assert nothing of values of other types."""
_BY_THEMSELVES = frozenset(
    {"allOf", "anyOf", "const", "enum", "format", "pattern", "type", *(row[0] for row in _BOUNDS)}
)
"""Keywords whose meaning hangs on no other one."""


def target(root: Mapping[str, Any], part: Any) -> Any:
    """What a chain of references leads to, beside which nothing is asserted."""
    for _ in range(_MAX_HOPS):
        if not (isinstance(part, Mapping) and isinstance(part.get("$ref"), str)):
            break
        found = resolve(root, part["$ref"])
        if found is None or part.keys() - SAYS_NOTHING - {"$ref"}:
            break
        part = found
    return part


def without(root: Schema, schema: Any, other: Any, depth: int = 0) -> list[Any]:
    """Schemas whose values are all the one's, and none of them the other's.

    Args:
        root: the whole schema, for references.
        schema: a schema.
        other: what is taken out of it.
        depth: how many properties of properties were gone into.

    Returns:
        The schema alone if it holds nothing of the other; nothing if it is not known what is left.
    """
    schema, other = target(root, schema), target(root, other)
    if other is False:
        return [schema]
    if schema is True:
        schema = {}
    if not (isinstance(schema, Mapping) and isinstance(other, Mapping)) or depth > _MAX_DEPTH:
        return []
    if (listed := constants(schema)) is not None:
        return _left_of(schema, listed, other)
    pieces = []
    for piece in _pieces(root, schema, other, depth):
        if piece == schema:
            return [schema]
        pieces.append(piece)
    return pieces[:MAX_PIECES]


def reach(root: Schema, schema: Any) -> int:
    """How many schemas :func:`without` comes to in one, references followed."""
    known: dict[tuple[int, int], int] = {}

    def count(part: Any, depth: int) -> int:
        part = target(root, part)
        if not isinstance(part, Mapping) or depth > _MAX_DEPTH:
            return 1
        place = id(part), depth
        if place not in known:
            known[place] = 1 + sum(count(each, depth + 1) for _, each in inner(part))
        return known[place]

    return count(schema, 0)


def holds_all(root: Schema, schema: Any, other: Any, depth: int = 0) -> bool:
    """Whether a schema is known to hold every value of another.

    Args:
        root: the whole schema, for references.
        schema: the one that may hold all.
        other: the one that may be a part of it.
        depth: how many properties of properties were gone into.
    """
    schema, other = target(root, schema), target(root, other)
    if schema is True or other is False or schema == other:
        return True
    if not (isinstance(schema, Mapping) and isinstance(other, Mapping)) or depth > _MAX_DEPTH:
        return False
    return all(
        key in SAYS_NOTHING or _implied(root, key, value, schema, other, depth)
        for key, value in schema.items()
    )


def _implied(
    root: Schema,
    key: str,
    value: Any,
    schema: Mapping[str, Any],
    other: Mapping[str, Any],
    depth: int,
) -> bool:
    """Whether what one keyword of a schema asserts is asserted by another, too."""
    if key in _ABOUT and _ABOUT[key] not in types(other):
        return True
    if key in other and other[key] == value and key in _BY_THEMSELVES:
        return True
    if key == "type":
        return "integer" not in [value, *_list(value)] and types(other) <= types({key: value})
    if key in ("const", "enum"):
        all_of, some = (set(map(as_json, constants(each) or [])) for each in (schema, other))
        return bool(some) and some <= all_of
    listed = _map(other.get("properties"))
    if key == "required":
        return all(name in _list(other.get(key)) for name in _list(value))
    if key == "properties":
        return all(
            name in listed and holds_all(root, part, listed[name], depth + 1)
            for name, part in _map(value).items()
        )
    if key == "additionalProperties":  # is about what neither lists
        same = all(schema.get(k) == other.get(k) for k in (key, "patternProperties"))
        return same and listed.keys() == _map(schema.get("properties")).keys()
    return False


def parted(root: Schema, schema: Any) -> list[Any]:
    """A schema by the types of its values and its own ``anyOf``; together they hold the same."""
    schema = target(root, schema)
    if schema is True:
        schema = {}
    if not isinstance(schema, Mapping) or constants(schema) is not None:
        return [schema]
    if schema.keys() - SAYS_NOTHING == {"anyOf"}:
        return [target(root, part) for part in _list(schema["anyOf"])]
    named = schema.get("type")
    names = _TYPES if named is None and "$ref" not in schema else _list(named)
    return [{**schema, "type": name} for name in names] if len(names) > 1 else [schema]


def _pieces(
    root: Schema, schema: Mapping[str, Any], other: Mapping[str, Any], depth: int
) -> Iterator[Any]:
    mine, theirs = types(schema), types(other)
    if mine - theirs:
        yield _of_types(schema, mine - theirs)
    for key, kind, _, turned, difference in _BOUNDS:
        bound = other.get(key)
        if kind == "object" and schema.keys() & {"properties", "required"}:
            continue  # llguidance counts properties only where none is named
        if kind in mine and _is_number(bound):
            yield from _bounded(_of_types(schema, frozenset({kind})), turned, bound + difference)
    if "object" in mine:
        yield from _objects(root, _of_types(schema, frozenset({"object"})), other, depth)
    for part in _list(other.get("allOf")):
        yield from without(root, schema, part, depth + 1)
    if alternatives := _list(other.get("anyOf")):
        pieces: list[Any] = [schema]
        for part in alternatives:
            pieces = [each for piece in pieces for each in without(root, piece, part, depth + 1)]
            pieces = pieces[:MAX_PIECES]
        yield from pieces


def _objects(
    root: Schema, schema: Schema, other: Mapping[str, Any], depth: int
) -> Iterator[Schema]:
    """Without a property that the other requires, or with one that it has other values for."""
    listed, theirs = _map(schema.get("properties")), _map(other.get("properties"))
    required = _list(schema.get("required"))
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    apart: list[Schema] = []
    for name in filter(theirs.__contains__, listed):
        pieces = without(root, listed[name], theirs[name], depth + 1)
        if pieces == [target(root, listed[name])]:  # a discriminator
            yield _having(schema, name, listed[name])
        else:
            apart += [_having(schema, name, piece) for piece in pieces]
    for name in _list(other.get("required")):
        if is_closed and name not in listed:
            yield schema
        elif isinstance(name, str) and name not in required:
            yield {**schema, "properties": {**listed, name: False}}
    if other.get("additionalProperties") is False and "patternProperties" not in other:
        for name in listed:
            if name not in theirs:
                yield _having(schema, name, listed[name])
    yield from apart


def _having(schema: Schema, name: str, value: Any) -> Schema:
    """With a property that is required, and so."""
    required = _list(schema.get("required"))
    return {
        **schema,
        "properties": {**schema["properties"], name: value},
        "required": required if name in required else [*required, name],
    }


def _bounded(schema: Schema, key: str, value: float) -> Iterator[Schema]:
    """With a bound, where it leaves anything that can be seen."""
    present = schema.get(key)
    if _is_number(present):
        value = (max if "min" in key.lower() else min)(value, present)
    bounded = {**schema, key: value}
    if _has_room(bounded):
        yield bounded


def _has_room(schema: Schema) -> bool:
    """Whether any size, or any number, lies between the bounds."""

    def given(*keys: str) -> list[float]:
        return [schema[key] for key in keys if _is_number(schema.get(key))]

    for of in ("Length", "Items", "Properties"):
        if max([0, *given("min" + of)]) > min([inf, *given("max" + of)]):
            return False
    lows, highs = given("minimum", "exclusiveMinimum"), given("maximum", "exclusiveMaximum")
    if not (lows and highs):
        return True
    least, most = max(lows), min(highs)
    if schema["type"] == "integer":
        least = floor(least) + 1 if least in given("exclusiveMinimum") else ceil(least)
        most = ceil(most) - 1 if most in given("exclusiveMaximum") else floor(most)
        return least <= most
    is_open = least in given("exclusiveMinimum") or most in given("exclusiveMaximum")
    return least < most or (least == most and not is_open)


def _of_types(schema: Mapping[str, Any], kinds: frozenset[str]) -> Schema:
    """Of some of its types."""
    named = schema.get("type")
    names = [named] if isinstance(named, str) else _list(named) or list(_TYPES)
    left = [name for name in names if _general(name) in kinds]
    if len(left) == len(names):
        return dict(schema)
    return {**schema, "type": left[0] if len(left) == 1 else left}


def _left_of(
    schema: Mapping[str, Any], values: list[Any], other: Mapping[str, Any]
) -> list[Schema]:
    """The constants that the other is known not to hold."""
    theirs, kinds = constants(other), types(other)
    written = None if theirs is None else set(map(as_json, theirs))

    def is_refused(value: Any) -> bool:
        if written is not None:
            return as_json(value) not in written
        return _type_of(value) not in kinds or _breaks(other, value)

    left = [value for value in values if is_refused(value)]
    if len(left) == len(values):
        return [dict(schema)]
    rest = {key: value for key, value in schema.items() if key != "const"}
    return [{**rest, "enum": left}] if left else []


def _breaks(other: Mapping[str, Any], value: Any) -> bool:
    """Whether a bound refuses a value."""
    kind = _type_of(value)
    size = len(value) if kind in ("string", "array", "object") else value
    return any(
        of == kind and _is_number(other.get(key)) and refuses(size, other[key])
        for key, of, refuses, _, _ in _BOUNDS
    )


def as_json(value: Any) -> str:
    """A constant; 1 and 1.0 are one."""
    is_whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if is_whole else value, sort_keys=True)


def constants(schema: Mapping[str, Any]) -> list[Any] | None:
    """All values that there are, where they are listed."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return list(values) if isinstance(values, list | tuple) else None


def types(schema: Any) -> frozenset[str]:
    """The types that a value may have, references aside; whole numbers are numbers."""
    if not isinstance(schema, Mapping):
        return frozenset(_TYPES if schema is not False else ())
    values, named = constants(schema), schema.get("type")
    if named is None and values is not None:
        return frozenset(map(_type_of, values))
    names = [named] if isinstance(named, str) else _list(named) or _TYPES
    found = frozenset(map(_general, names))
    for part in _list(schema.get("allOf")):
        found &= types(part)
    if alternatives := _list(schema.get("anyOf")):
        found &= frozenset().union(*map(types, alternatives))
    return found


def _general(name: Any) -> str:
    return "number" if name == "integer" else str(name)


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
