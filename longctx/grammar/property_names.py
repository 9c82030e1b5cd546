"""``propertyNames`` as ``patternProperties``, which a grammar has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Any

from longctx.grammar.formats import ASSERTING, HELD
from longctx.grammar.patterns import of_rust
from longctx.grammar.schema_walk import Schema
from longctx.grammar.schema_without import SAYS_NOTHING, target

_KNOWN = frozenset(
    {"const", "description", "enum", "maxLength", "minLength", "pattern", "title", "type"}
)

_LONGEST = 100_000
"""Characters; regular expressions count no further."""


def with_named_patterns(
    root: Mapping[str, Any], schema: Schema, *, warnings: dict[str, None]
) -> Schema:
    """A schema whose names are those of a pattern, where ``propertyNames`` says no more than one.

    That is what pydantic says of ``dict[Literal["a", "b"], int]``, and of keys with a length.

    Args:
        root: the whole schema, for references.
        schema: with its inner schemas already changed.
        warnings: gets what is not held of it.
    """
    names = target(root, schema.get("propertyNames"))
    if not isinstance(names, Mapping):
        return schema
    if isinstance(name := names.get("format"), str):  # of dict[date, int] and dict[UUID, int]
        names = {key: value for key, value in names.items() if key != "format"}
        if name in HELD | ASSERTING:
            warnings[f"names of properties are not held to the format {name!r}"] = None
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    if names.keys() <= SAYS_NOTHING | {"type"} and names.get("type", "string") == "string":
        return rest  # as zod says of every record
    pattern = _pattern(names)
    if pattern is None or schema.keys() & {"properties", "patternProperties"}:
        return schema
    values = rest.get("additionalProperties", True)
    return {**rest, "patternProperties": {pattern: values}, "additionalProperties": False}


def _pattern(names: Mapping[str, Any]) -> str | None:
    """A regular expression of all names that are allowed."""
    if names.keys() - _KNOWN or names.get("type", "string") != "string":
        return None
    values = [names["const"]] if "const" in names else names.get("enum")
    has_lengths = bool(names.keys() & {"minLength", "maxLength"})
    if isinstance(values, list) and not has_lengths and "pattern" not in names:
        texts = [re.escape(one) for one in values if isinstance(one, str)]
        return "^(?:" + "|".join(texts) + ")$" if texts else None
    if values is not None or ("pattern" in names and has_lengths):
        return None
    if "pattern" in names:
        return of_rust(str(names["pattern"]))
    least, most = names.get("minLength", 0), names.get("maxLength", inf)
    if not all(_is_size(size) for size in (least, most)):
        return None
    return rf"^[\s\S]{{{int(least)},{'' if most == inf else int(most)}}}$"


def _is_size(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == inf or (0 <= value <= _LONGEST and value == int(value))
