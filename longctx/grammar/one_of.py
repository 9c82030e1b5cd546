"""``oneOf`` whose alternatives are told apart: then it is an ``anyOf``, which a grammar can be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from longctx.grammar.schema_walk import Schema, resolve

_MAX_HOPS = 64
_TYPES = ("array", "boolean", "null", "number", "object", "string")


def told_apart(root: Schema, schema: Schema) -> Schema:
    """A schema whose ``oneOf``, where no value can match two of its alternatives, is ``anyOf``.

    Alternatives differ in their type, or in a property that each of them gives other values. That
    property is then required, as it is by what reads such an answer (pydantic's discriminator).

    Args:
        root: the whole schema, for references.
        schema: with its inner schemas already changed.
    """
    parts = schema.get("oneOf")
    if not isinstance(parts, list) or not parts or "anyOf" in schema:
        return schema
    if len(parts) > 1:
        targets = [_target(root, part) for part in parts]
        if _differ([_types(target) for target in targets]):
            changed = parts
        elif name := _discriminator(targets):
            pairs = zip(parts, targets, strict=True)
            changed = [_requiring(part, target, name) for part, target in pairs]
        else:
            return schema
    else:
        changed = parts
    out = {key: value for key, value in schema.items() if key != "oneOf"}
    return {**out, "anyOf": changed}


def _target(root: Schema, part: Any) -> Mapping[str, Any]:
    """What a chain of bare references leads to."""
    for _ in range(_MAX_HOPS):
        if not (isinstance(part, Mapping) and isinstance(part.get("$ref"), str)):
            break
        part = resolve(root, part["$ref"])
    return part if isinstance(part, Mapping) else {}


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The types that a value may have; whole numbers are numbers."""
    found = schema.get("type")
    if found is None and "const" in schema:
        return frozenset({_type_of(schema["const"])})
    if found is None and isinstance(schema.get("enum"), list):
        return frozenset(map(_type_of, schema["enum"]))
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not names:
        return frozenset(_TYPES)
    return frozenset("number" if name == "integer" else str(name) for name in names)


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def _differ(kinds: Sequence[frozenset[str]]) -> bool:
    return sum(map(len, kinds)) == len(frozenset().union(*kinds))


def _discriminator(targets: Sequence[Mapping[str, Any]]) -> str | None:
    """A property that each alternative lists, with values that no other one has."""
    if not all(
        t.get("type") == "object" and isinstance(t.get("properties"), Mapping) for t in targets
    ):
        return None
    for name in targets[0]["properties"]:
        values = [_values(target["properties"].get(name)) for target in targets]
        if all(values) and _differ(values):
            return str(name)
    return None


def _values(schema: Any) -> frozenset[str]:
    """The constants that a property may be, as JSON; none where it may be anything."""
    if not isinstance(schema, Mapping):
        return frozenset()
    if "const" in schema:
        return frozenset({json.dumps(schema["const"], sort_keys=True)})
    constants = schema.get("enum")
    if not isinstance(constants, list | tuple):
        return frozenset()
    return frozenset(json.dumps(value, sort_keys=True) for value in constants)


def _requiring(part: Any, target: Mapping[str, Any], name: str) -> Any:
    """An alternative that has a property, also where its schema leaves it out by default."""
    required = target.get("required", [])
    if isinstance(required, list) and name in required:
        return part
    return {**target, "required": [*(required if isinstance(required, list) else []), name]}
