"""What schemas mean that, word by word, nothing satisfies.

Each reading here is of a schema that would be refused, or hold a value that nobody could give: what
its author had in mind is plain, and what it was taken as is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from longctx.grammar.definitions import found_again
from longctx.grammar.formats import HELD
from longctx.grammar.patterns import without_lookahead
from longctx.grammar.schema_walk import Schema, check_size, every, rewrite_at
from longctx.grammar.schema_without import SAYS_NOTHING, as_json, holds_all, target, types
from longctx.grammar.spelling import Note, spelt

_MAX_ALTERNATIVES = 100
"""Of a ``oneOf`` whose alternatives are compared with each other."""
_OPEN = frozenset(
    {
        "$dynamicRef", "$ref", "additionalProperties", "allOf", "anyOf", "dependencies",
        "dependentSchemas", "else", "if", "not", "oneOf", "patternProperties", "then",
        "unevaluatedProperties",
    }
)  # fmt: skip
"""Keywords by which an object may have other properties than those that it lists."""


_ANY_OF_ZOD = "#/definitions/OpenAiAnyType"
"""Where zod-to-json-schema, for OpenAI, puts what it means by anything."""
_LOOKS_AROUND = ("(?=", "(?!", "(?<=", "(?<!")


@dataclass(frozen=True)
class Meant:
    """A schema as it was meant.

    ``notes`` say what was read otherwise than as it stands: where, and as what.
    """

    schema: Any
    notes: tuple[str, ...]


def meant(schema: Mapping[str, Any]) -> Meant:
    """Read a schema as its author meant it, where word by word nothing satisfies a part of it.

    Args:
        schema: of any draft; what cannot be understood stays as it is.

    Raises:
        RequestError: it is too large.
    """
    check_size(schema)
    places = Places()
    ready = spelt(dict(schema), places.note)
    ready = found_again(ready, places.note)
    return Meant(rewrite_at(ready, partial(_mended, ready, places.note)), places.notes)


def _mended(root: Any, note: Note, schema: Schema, place: str) -> Any:
    if _is_never(schema):
        return False
    for mend in (_listed, _closed_together, _possible, _one_of_same, _by_format):
        schema = mend(root, note, schema, place)
    return schema


class Places:
    """Collects what is said of a schema's places, each thing once."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def note(self, place: str, text: str) -> None:
        """Say something of a place."""
        self._found.setdefault(text, []).append(place)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences, each with where it is so."""
        return tuple(
            f"at {at[0]}{f' (and in {len(at) - 1:,} other places)' if len(at) > 1 else ''}: {text}"
            for text, at in self._found.items()
        )


def _is_never(schema: Schema) -> bool:
    """Whether it is ``{"not": {}}``, as zod and typebox write what is never there."""
    other = schema.get("not", False)
    return other is True or other == {} or _map(other).get("$ref") == _ANY_OF_ZOD


def _listed(_: Any, note: Note, schema: Schema, place: str) -> Schema:
    """Constants of another type than their schema's: of the items, or written otherwise."""
    key = "const" if "const" in schema else "enum"
    values = [schema["const"]] if key == "const" else schema.get("enum")
    named = schema.get("type")
    if not isinstance(values, list) or not values or not isinstance(named, str | list):
        return schema
    kinds = types({"type": named})
    if any(types({"const": value}) <= kinds for value in values):
        return schema
    rest = {k: v for k, v in schema.items() if k != key}
    items = schema.get("items", {})
    if kinds == {"array"} and isinstance(items, Mapping):
        note(place, f"no array is one of the {key}'s values, which are taken as those of its items")
        return {**rest, "items": _listed(None, note, {**items, key: schema[key]}, place)}
    if kinds == {"null"}:
        note(place, f"null is none of the {key}'s values, which are left out")
        return rest
    written = [_as_one_of(kinds, value) for value in values]
    if None not in written:
        note(place, f"the {key} has values of another type than {named!r}; they are taken as such")
        return {**schema, key: written[0] if key == "const" else written}
    note(place, f"the {key} has no value of the type {named!r}, which is left out")
    return {k: v for k, v in schema.items() if k != "type"}


def _as_one_of(kinds: frozenset[str], value: Any) -> Any:
    """A constant as it is written in another type; None where it is not."""
    if kinds == {"string"} and isinstance(value, bool | int | float):
        return as_json(value)
    if kinds == {"boolean"} and value in ("true", "false"):
        return value == "true"
    if kinds == {"number"} and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return int(number) if number.is_integer() else number
    return None


def _closed_together(root: Any, note: Note, schema: Schema, place: str) -> Schema:
    """Objects that are closed each by itself, and that one value has to be all of.

    NSwag and people who inherit write so; ``unevaluatedProperties``, by zod and typebox, says it.
    """
    parts = schema.get("allOf")
    if not isinstance(parts, list) or not parts:
        return schema
    whole = [{k: v for k, v in schema.items() if k != "allOf"}, *(target(root, p) for p in parts)]
    names = [list(_only_names(part)) if isinstance(part, Mapping) else [None] for part in whole]
    if any(None in each for each in names):
        return schema
    known = {name: True for each in names for name in each}
    closed = [part.get("additionalProperties") is False for part in whole]
    is_closed = schema.get("unevaluatedProperties") is False
    excludes = any(
        shut and len(set(own)) < len(known) for shut, own in zip(closed, names, strict=True)
    )
    if not (is_closed or excludes):
        return schema
    if excludes:
        note(place, "the parts of this allOf forbid each other's properties, and are taken as one")
    mine, *others = (
        {**part, "properties": {**known, **part.get("properties", {})}} if is_shut else dict(part)
        for part, is_shut in zip(whole, closed, strict=True)
    )
    if is_closed:
        del mine["unevaluatedProperties"]
        mine["properties"] = {**known, **mine.get("properties", {})}
        mine["additionalProperties"] = False
    return {**mine, "allOf": others}


def _only_names(part: Mapping[str, Any]) -> Iterator[str | None]:
    """The properties that an object lists; None where it may have others, or holds them so."""
    also = {key for key in _OPEN & part.keys() if part[key] is not False}
    listed = part.get("properties", {})
    if also or not isinstance(listed, Mapping):
        yield None
    else:
        yield from listed


def _possible(_: Any, note: Note, schema: Schema, place: str) -> Schema:
    """An object without those that it requires and cannot have; a type that no alternative is."""
    listed, required = schema.get("properties", {}), schema.get("required")
    if isinstance(listed, Mapping) and isinstance(required, list):
        is_shut = schema.get("additionalProperties") is False and "patternProperties" not in schema
        impossible = [
            name
            for name in required
            if isinstance(name, str)
            and (_is_nothing(listed.get(name)) or (is_shut and name not in listed))
        ]
        if impossible and isinstance(schema.get("type", "object"), str):
            names = ", ".join(map(repr, impossible))
            note(place, f"it requires {names}, which it cannot have, and is taken not to")
            required = [name for name in required if name not in impossible]
            schema = {**schema, "required": required}
    for key in ("anyOf", "oneOf"):
        parts, named = schema.get(key), schema.get("type")
        if not isinstance(parts, list) or not isinstance(named, str | list):
            continue
        kinds = types({"type": named})
        if parts and all("$ref" not in _map(p) and not types(p) & kinds for p in parts):
            note(place, f"none of {key} is of the type {named!r}, which is left out")
            schema = {k: v for k, v in schema.items() if k != "type"}
    return schema


def _is_nothing(schema: Any) -> bool:
    return schema is False or _map(schema).get("enum") == []


def _one_of_same(root: Any, note: Note, schema: Schema, place: str) -> Schema:
    """A ``oneOf`` of which one alternative holds all of another: nothing is the other one alone."""
    parts = schema.get("oneOf")
    if not isinstance(parts, list) or "anyOf" in schema or not 1 < len(parts) <= _MAX_ALTERNATIVES:
        return schema
    targets = [_asserted(target(root, part)) for part in parts]
    held = (
        holds_all(root, other, part)
        for i, part in enumerate(targets)
        for k, other in enumerate(targets)
        if i != k and part is not False
    )
    if not any(held) or any("/oneOf/" in str(each.get("$ref")) for each in every(root)):
        return schema
    note(
        place,
        "nothing could match one alternative of this oneOf alone, since another one holds all of "
        "it: it is taken as anyOf",
    )
    return {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}


def _by_format(_: Any, note: Note, schema: Schema, place: str) -> Schema:
    """A string of a format, whose pattern looks around: zod writes both of an e-mail address."""
    name, pattern = schema.get("format"), schema.get("pattern")
    if not (isinstance(name, str) and name in HELD and isinstance(pattern, str)):
        return schema
    if not any(mark in without_lookahead(schema)["pattern"] for mark in _LOOKS_AROUND):
        return schema
    note(place, f"the pattern looks around, which no grammar can; the format {name} alone is held")
    return {key: value for key, value in schema.items() if key != "pattern"}


def _asserted(part: Any) -> Any:
    """A copy of a schema's own that has only what asserts something."""
    if not isinstance(part, Mapping):
        return part
    return {key: value for key, value in part.items() if key not in SAYS_NOTHING}


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
