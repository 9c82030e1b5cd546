"""Schemas that are spelt as no draft spells them, and can mean one thing only.

Go writes ``null`` for lists that are empty, PHP ``[]`` for objects that are; people write types as
their language calls them, Google in capitals; Jackson writes the third draft.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from longctx.grammar.schema_walk import Schema, every, rewrite, rewrite_at, step

Note = Callable[[str, str], None]
"""Takes where something stands, and what it was taken as."""

_JSON = ("array", "boolean", "integer", "null", "number", "object", "string")
_MEANT: dict[str, str] = {
    name: kind
    for kind, names in {
        "array": "arraylist deque frozenset iterator list queue sequence set stack tuple vector",
        "boolean": "bool",
        "integer": "bigint byte int int32 int64 long short uint uint32 uint64",
        "null": "nil none nonetype",
        "number": "decimal double float float32 float64 real",
        "object": "dict dictionary hash hashmap hashtable map mapping record struct",
        "string": "base64 binary bytes char file path regex regexp str text uint8array varchar",
    }.items()
    for name in (kind, *names.split())
}
_FORMATS = {
    "date": "date", "date-time": "date-time", "datetime": "date-time", "duration": "duration",
    "email": "email", "ipv4": "ipv4", "ipv6": "ipv6", "time": "time", "timestamp": "date-time",
    "uri": "uri", "url": "uri", "uuid": "uuid",
}  # fmt: skip
"""Formats that are named as types."""
_ANYTHING = frozenset({"", "*", "any", "enum", "mixed", "unknown"})
_NOTHING = frozenset({"function", "never", "symbol", "undefined", "void"})
"""Of JavaScript: no JSON value is one."""

_OF_NAMES = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_ONE = ("additionalItems", "additionalProperties", "items", "not", "propertyNames")
_VALUES = frozenset({"const", "default"})
"""Keywords that ``null`` is a value of."""
_NUMBERS = (
    "exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf",
    "maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties",
)  # fmt: skip
_COUNTS = _NUMBERS[5:]
_AROUND = frozenset({"description", "name", "schema", "strict"})


def spelt(root: Mapping[str, Any], note: Note) -> Any:
    """A schema in the words of JSON Schema.

    Args:
        root: of any size that can be walked.
        note: is told what was read otherwise than as it stands.
    """

    root = _unwrapped(root, note)

    def change(schema: Schema, place: str) -> Any:
        out = {k: v for k, v in schema.items() if v is not None or k in _VALUES}
        for key in (*_OF_NAMES, *_ONE):
            if out.get(key) == []:
                out[key] = {}
            elif out.get(key) in ("true", "false") and key in _ONE:
                note(place, f"{key} is the word {out[key]!r}, which is taken as one of JSON")
                out[key] = out[key] == "true"
        _numbers(out, place, note)
        _properties(out, place, note)
        return _typed(out, place, note)

    ready = rewrite_at(root, change)
    has_flags = any(isinstance(each.get("required"), bool) for each in every(ready))
    return rewrite(ready, _without_flag) if has_flags else ready


def _unwrapped(root: Mapping[str, Any], note: Note) -> Mapping[str, Any]:
    """The schema in what OpenAI's ``response_format`` has it in."""
    held = root.get("json_schema") if root.get("type") == "json_schema" else root
    inner = held.get("schema") if isinstance(held, Mapping) and held.keys() <= _AROUND else None
    if not isinstance(inner, Mapping):
        return root
    note("#", "what is under 'schema' is taken as the schema")
    return inner


def _numbers(schema: Schema, place: str, note: Note) -> None:
    for key in _NUMBERS:
        if isinstance(text := schema.get(key), str):
            try:
                value = float(text)
            except ValueError:
                continue
            schema[key] = int(value) if value.is_integer() else value
            note(place, f"{key} is the text {text!r}, which is taken as a number")
        if key in _COUNTS and schema.get(key) == -1:
            note(place, f"{key} is -1, which is taken as no bound")
            del schema[key]


def _properties(schema: Schema, place: str, note: Note) -> None:
    """Properties that are the name of a type, and those that say by themselves whether they must
    be there, as the third draft has it."""
    listed = schema.get("properties")
    if not isinstance(listed, Mapping):
        return
    out, needed = {}, []
    for name, part in listed.items():
        here = step(step(place, "properties"), name)
        if part is None:
            part = {}
        elif isinstance(part, str | list) and (read := list(_names(part))) and None not in read:
            part = _typed({"type": part}, here, note)
        if isinstance(part, Mapping) and isinstance(flag := part.get("required"), bool):
            part = _without_flag(dict(part))
            if flag:
                needed.append(name)
                note(here, "'required' is true, which is taken as that this property must be there")
        out[name] = part
    required = schema.get("required", [])
    if isinstance(required, str) and required in listed:
        note(place, f"'required' is the text {required!r}, which is taken as a list of it")
        required = [required]
    if isinstance(required, bool):
        required = []
    schema["properties"] = out
    if isinstance(required, list) and (needed or "required" in schema):
        schema["required"] = [*required, *(name for name in needed if name not in required)]


def _without_flag(schema: Schema) -> Schema:
    """Without a ``required`` of the third draft."""
    if isinstance(schema.get("required"), bool):
        return {key: value for key, value in schema.items() if key != "required"}
    return schema


def _typed(schema: Schema, place: str, note: Note) -> Any:
    """With the types of JSON; False where nothing is of its type."""
    named = schema.get("type")
    if not isinstance(named, str | list):
        return schema
    known = list(_names(named))
    if None in known or (
        known and all(kind in _JSON for kind in known) and named in (known, known[0])
    ):
        return schema
    rest = {key: value for key, value in schema.items() if key != "type"}
    kinds = [kind for kind in dict.fromkeys(known) if kind not in _NOTHING]
    if not kinds and known:
        note(place, f"nothing is of the type {named!r} in JSON")
        return False
    if not kinds or _ANYTHING.intersection(map(str, kinds)):
        note(place, f"the type {named!r} is taken as any type")
        return rest
    formats = [_FORMATS[kind] for kind in kinds if kind in _FORMATS]
    kinds = list(dict.fromkeys("string" if kind in _FORMATS else kind for kind in kinds))
    kind = kinds[0] if len(kinds) == 1 else kinds
    note(place, f"the type {named!r} is taken as {kind!r}")
    if formats and len(set(formats)) == 1:
        rest.setdefault("format", formats[0])
    return {**rest, "type": kind}


def _names(named: str | list[Any]) -> Iterator[str | None]:
    """The types that names stand for; None for one that is not known."""
    for one in named if isinstance(named, list) else named.split("|"):
        if not isinstance(one, str):
            yield None
            continue
        name = one.strip()
        if name in _JSON:
            yield name
        elif name == "Date":  # JavaScript's, which JSON.stringify writes so
            yield "date-time"
        elif (low := name.lower()) in _ANYTHING or low in _NOTHING or low in _FORMATS:
            yield low
        else:
            yield _MEANT.get(low)
