"""``not`` as what is left, which a grammar can be."""

from __future__ import annotations

from collections.abc import Mapping

from longctx.grammar.schema_walk import Schema
from longctx.grammar.schema_without import reach, without

_MAX_COMPARED = 10_000
_OF_THE_WHOLE = frozenset({"$anchor", "$defs", "$id", "$schema", "definitions"})


def without_not(root: Schema, schema: Schema) -> Schema:
    """A schema that says what is left in the place of what is not to be, where that is known.

    Of ``{"not": {"required": ["a", "b"]}}`` it is what has no ``a``, or no ``b``. That may leave
    out values that are valid, and never lets one more through.
    """
    other = schema.get("not")
    if not isinstance(other, Mapping) or reach(root, other) > _MAX_COMPARED:
        return schema
    whole = {key: schema[key] for key in _OF_THE_WHOLE & schema.keys()}
    rest = {key: value for key, value in schema.items() if key != "not" and key not in whole}
    pieces = without(root, rest, other)
    if not pieces or not all(isinstance(piece, Mapping) for piece in pieces):
        return schema
    return {**whole, **pieces[0]} if len(pieces) == 1 else {**whole, "anyOf": pieces}
