"""``oneOf`` as ``anyOf``, which a grammar can be: each alternative without what others hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from longctx.errors import RequestError
from longctx.grammar.schema_walk import Schema, rewrite
from longctx.grammar.schema_without import (
    MAX_PIECES,
    as_json,
    constants,
    holds_all,
    parted,
    reach,
    target,
    types,
    without,
)

_MAX_COPIES = 1_000
_MAX_COMPARED = 10_000
"""Schemas that are compared, each with one in every other alternative: seconds."""


OVERLAP = (
    "a oneOf whose alternatives overlap is taken as anyOf: an answer may match several of them; "
    "give each a property with a const of its own"
)


def told_apart(root: Schema) -> Schema:
    """A schema in which each ``oneOf`` is an ``anyOf`` of alternatives that have nothing in common.

    Where all differ in their type, or in a property that each gives other constants (pydantic's
    discriminator, which is then required), they stay as they are. Else each is narrowed until no
    other one holds a value of it: it does not have what another requires, or is below another's
    bound. That may leave out values that are valid. Where it would leave out all of an alternative
    that another is not known to hold, the ``oneOf`` stays.

    Alternatives that are changed stand under ``$defs``, each once: they may contain themselves.

    Raises:
        RequestError: all alternatives are the same.
    """
    copies: dict[str, tuple[str, Schema]] = {}
    taken = root.get("$defs", {})
    if not isinstance(taken, Mapping):
        return root

    def placed(part: Any) -> Any:
        text = json.dumps(part, sort_keys=True)
        if text not in copies:
            name = f"alternative-{len(copies) + 1}"
            while name in taken:
                name += "'"
            copies[text] = (name, part)
        return {"$ref": "#/$defs/" + copies[text][0]}

    def change(schema: Schema) -> Schema:
        changed = _apart(root, schema)
        if changed is None:
            return schema
        parts = schema["oneOf"]
        out = {key: value for key, value in schema.items() if key != "oneOf"}
        return {**out, "anyOf": [part if part in parts else placed(part) for part in changed]}

    ready: Schema = rewrite(root, change)
    defs: Schema = {}
    while len(defs) < min(len(copies), _MAX_COPIES):
        name, part = list(copies.values())[len(defs)]
        defs[name] = rewrite(part, change)
    return {**ready, "$defs": {**ready.get("$defs", {}), **defs}} if defs else ready


def _apart(root: Schema, schema: Schema) -> list[Any] | None:
    """What takes the place of a schema's ``oneOf``; None where it stays."""
    parts = schema.get("oneOf")
    if not isinstance(parts, list) or not parts or "anyOf" in schema:
        return None
    parts = [part for part in parts if part is not False] or [False]
    targets = [target(root, part) for part in parts]
    if len(parts) > 1 and all(each == targets[0] for each in targets):
        raise RequestError(
            "the JSON schema cannot be turned into a grammar: the alternatives of a 'oneOf' are "
            "all the same, so nothing matches one alone; say anyOf, or leave all but one out"
        )
    if len(parts) == 1 or _differ([types(each) for each in targets]):
        changed = parts
    elif name := _discriminator(targets):
        pairs = zip(parts, targets, strict=True)
        changed = [_requiring(part, each, name) for part, each in pairs]
    else:
        changed = _narrowed(root, targets)
    return changed or None


def may_overlap(root: Schema, schema: Mapping[str, Any]) -> bool:
    """Whether objects may match several alternatives of a ``oneOf`` that stayed.

    llguidance does not see it once they are closed: without other properties they differ.
    """
    parts = schema.get("oneOf")
    targets = [target(root, part) for part in parts] if isinstance(parts, list) else []
    objects = [each for each in targets if "object" in types(each)]
    return len(objects) > 1 and _discriminator(objects) is None


def _differ(kinds: Sequence[frozenset[str]]) -> bool:
    return sum(map(len, kinds)) == len(frozenset().union(*kinds))


def _discriminator(targets: Sequence[Any]) -> str | None:
    """A property that each alternative lists, with values that no other one has."""
    objects = [
        each for each in targets if isinstance(each, Mapping) and each.get("type") == "object"
    ]
    listed = [found for each in objects if isinstance(found := each.get("properties"), Mapping)]
    if len(listed) < len(targets):
        return None
    for name in listed[0]:
        values = [_values(each.get(name)) for each in listed]
        if all(values) and _differ(values):
            return str(name)
    return None


def _values(schema: Any) -> frozenset[str]:
    """The constants that a property may be, as JSON; none where it may be anything."""
    found = constants(schema) if isinstance(schema, Mapping) else None
    return frozenset(map(as_json, found or ()))


def _requiring(part: Any, whole: Mapping[str, Any], name: str) -> Any:
    """An alternative that has a property, also where its schema leaves it out by default."""
    required = whole.get("required", [])
    if isinstance(required, list) and name in required:
        return part
    return {**whole, "required": [*(required if isinstance(required, list) else []), name]}


def _narrowed(root: Schema, parts: Sequence[Any]) -> list[Any]:
    """Pieces of the alternatives, each held by one alone; none where one's are not known."""
    if sum(reach(root, part) for part in parts) * len(parts) > _MAX_COMPARED:
        return []
    out: list[Any] = []
    for i, part in enumerate(parts):
        others = (*parts[:i], *parts[i + 1 :])
        kept: list[Any] = []
        for each in (kinds := parted(root, part)):
            pieces = [each]
            for other in others:
                found = [left for piece in pieces for left in without(root, piece, other)]
                pieces = found[:MAX_PIECES]
            if not pieces and not any(holds_all(root, other, each) for other in others):
                return []  # an answer could never be that
            kept += pieces
        out += [part] if kept == kinds else kept
    return out
