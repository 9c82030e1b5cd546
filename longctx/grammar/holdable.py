"""What of a schema a grammar can hold, for calls of tools: they check the rest themselves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from longctx.errors import RequestError
from longctx.grammar.definitions import leads_somewhere, names_of
from longctx.grammar.grammar import Grammar
from longctx.grammar.json_schema import json_rule
from longctx.grammar.meaning import Meant, Places
from longctx.grammar.schema_rewrite import said_otherwise
from longctx.grammar.schema_walk import Schema, check_size, rewrite_at
from longctx.grammar.spelling import Note

_NOT_HELD = frozenset(
    {
        "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "contains",
        "dependencies", "dependentRequired", "dependentSchemas", "else", "if", "maxContains",
        "minContains", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
        "uniqueItems",
    }
)  # fmt: skip
_ANCHORS = frozenset({"$dynamicAnchor", "$recursiveAnchor"})
"""Without what refers to them they say nothing."""


def holdable(schema: Mapping[str, Any]) -> Meant:
    """A schema without what no grammar can hold a call to; the notes say what that is, and where.

    Args:
        schema: of any draft, as it was meant (:func:`~longctx.grammar.meaning.meant`).

    Raises:
        RequestError: it is too large.
    """
    check_size(schema)
    places = Places()
    named = frozenset(name for name in names_of(schema) if isinstance(name, str))
    change = partial(_held, schema, named, places.note)
    return Meant(rewrite_at(schema, change), places.notes)


def _held(
    root: Mapping[str, Any], named: frozenset[str], note: Note, schema: Schema, place: str
) -> Schema:
    left_out = _NOT_HELD & schema.keys() and _NOT_HELD & said_otherwise(root, schema).keys()
    pattern, reference = schema.get("pattern"), schema.get("$ref")
    if isinstance(pattern, str) and not _makes_a_grammar(pattern):
        left_out |= {"pattern"}
    if isinstance(reference, str) and not leads_somewhere(root, named, reference):
        left_out |= {"$ref"}
    if not left_out:
        return schema
    names = ", ".join(map(repr, sorted(left_out - _ANCHORS)))
    if names:
        note(place, f"no grammar holds calls to {names}; the tool has to check it")
    return {key: value for key, value in schema.items() if key not in left_out}


@lru_cache(maxsize=1_000)
def _makes_a_grammar(pattern: str) -> bool:
    rule = json_rule({"type": "string", "pattern": pattern})
    try:
        Grammar(f"start: {rule.text}\n", levels=rule.levels).check()
    except RequestError:
        return False
    return True
