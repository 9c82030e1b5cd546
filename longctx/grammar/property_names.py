"""``propertyNames`` as ``patternProperties``, which a grammar has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longctx.grammar.schema_walk import Schema
from longctx.grammar.schema_without import target

_KNOWN = frozenset(
    {"const", "description", "enum", "maxLength", "minLength", "pattern", "title", "type"}
)


def with_named_patterns(root: Schema, schema: Schema) -> Schema:
    """A schema whose names are those of a pattern, where ``propertyNames`` says no more than one.

    That is what pydantic says of ``dict[Literal["a", "b"], int]``, and of keys with a length.

    Args:
        root: the whole schema, for references.
        schema: with its inner schemas already changed.
    """
    names = target(root, schema.get("propertyNames"))
    if not isinstance(names, Mapping) or schema.keys() & {"properties", "patternProperties"}:
        return schema
    pattern = _pattern(names)
    if pattern is None:
        return schema
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    values = rest.get("additionalProperties", True)
    return {**rest, "patternProperties": {pattern: values}, "additionalProperties": False}


def _pattern(names: Mapping[str, Any]) -> str | None:
    """A regular expression of all names that are allowed."""
    if names.keys() - _KNOWN or names.get("type", "string") != "string":
        return None
    values = [names["const"]] if "const" in names else names.get("enum")
    lengths = names.get("minLength", 0), names.get("maxLength", "")
    has_lengths = lengths != (0, "")
    if isinstance(values, list) and not has_lengths and "pattern" not in names:
        return "^(?:" + "|".join(re.escape(str(value)) for value in values) + ")$"
    if values is not None or ("pattern" in names and has_lengths):
        return None
    if "pattern" in names:
        return str(names["pattern"])
    return rf"^[\s\S]{{{lengths[0]},{lengths[1]}}}$" if has_lengths else None
