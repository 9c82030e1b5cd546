"""Which parts of a JSON schema are schemas, and how deep they stand in each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from longctx.errors import RequestError

MAX_NESTING = 120
"""Values inside each other; llguidance reads 127."""
MAX_VALUES = 500_000
"""Values in all, shared ones counted wherever they stand."""

_ONE = frozenset(
    {
        "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not",
        "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_SEVERAL = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})

MAX_PATTERNS = 32
"""Patterns that one value, or one name, may have to match at once."""
_OF_NAMES = ("properties", "patternProperties")
_PROPERTIES_A_LEVEL = 16

Schema = dict[str, Any]


def check_size(schema: Any) -> None:
    """Come back only where a schema is small enough to walk.

    Raises:
        RequestError: it is nested too deep (or contains itself), or has too many values.
    """
    waiting, n = [(schema, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        n += 1
        if depth > MAX_NESTING:
            raise RequestError(
                f"the JSON schema nests values more than {MAX_NESTING} deep, which makes no "
                "grammar; put inner schemas under '$defs' and refer to them"
            )
        if n > MAX_VALUES:
            raise RequestError(
                f"the JSON schema has more than {MAX_VALUES:,} values, which makes no grammar; "
                "put what it repeats under '$defs' and refer to it"
            )
        if isinstance(value, Mapping):
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list | tuple):
            waiting += [(inner, depth + 1) for inner in value]


def inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly in a schema, each with its keyword; ``const`` and its like hold none."""
    for key, value in schema.items():
        if key in _ONE and isinstance(value, Mapping):
            yield key, value
        elif key in _SEVERAL and isinstance(value, list | tuple):
            yield from ((key, item) for item in value)
        elif key in _NAMED and isinstance(value, Mapping):
            yield from ((key, item) for item in value.values())


def rewrite(schema: Any, change: Callable[[Schema], Any]) -> Any:
    """A copy of a schema in which each schema was changed, inner ones first."""
    return rewrite_at(schema, lambda inner, _: change(inner))


def rewrite_at(schema: Any, change: Callable[[Schema, str], Any], place: str = "#") -> Any:
    """The same, where each is changed by where it stands (RFC 6901), too."""
    if not isinstance(schema, Mapping):
        return schema
    copy: Schema = {}
    for key, value in schema.items():
        here = step(place, key)
        if key in _ONE and isinstance(value, Mapping):
            copy[key] = rewrite_at(value, change, here)
        elif key in _SEVERAL and isinstance(value, list | tuple):
            copy[key] = [
                rewrite_at(item, change, step(here, str(i))) for i, item in enumerate(value)
            ]
        elif key in _NAMED and isinstance(value, Mapping):
            copy[key] = {
                name: rewrite_at(item, change, step(here, name)) for name, item in value.items()
            }
        else:
            copy[key] = value
    return change(copy, place)


def step(place: str, key: Any) -> str:
    """Where something stands in what stands somewhere."""
    return f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}"


def every(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema, and all schemas in it."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            yield value
            waiting += [item for _, item in inner(value)]


def resolve(root: Any, reference: str) -> Any:
    """What a reference inside of a schema points to (RFC 6901); None where that is elsewhere."""
    if not reference.startswith("#"):
        return None
    target = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list | tuple) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, Mapping) and key in target:
            target = target[key]
        else:
            return None
    return target


def levels(root: Any) -> int:
    """At most so many schemas stand in each other when references are followed, each once.

    No path through the references goes twice to the same place, so none is longer than all places
    together are deep.
    """
    references = {s["$ref"] for s in every(root) if isinstance(s.get("$ref"), str)}
    whole = _depth(root)
    places = [resolve(root, reference) for reference in references]
    # Where a reference is found by an $id, what it points to is some part of the whole.
    deep = whole + sum(whole if place is None else _depth(place) for place in places)
    # Properties follow each other in rules that are each other's ends.
    n_properties = sum(len(s[key]) for s in every(root) for key in _OF_NAMES if _is_map(s.get(key)))
    return deep + n_properties // _PROPERTIES_A_LEVEL


def check_patterns(root: Any) -> None:
    """Come back only where no value has to match very many patterns at once.

    Raises:
        RequestError: llguidance would take minutes to find out whether any does.
    """
    for schema in every(root):
        named, joined = schema.get("patternProperties"), schema.get("allOf")
        n_named = len(named) if _is_map(named) else 0
        n_joined = (
            sum("pattern" in s for part in joined for s in every(part)) if _is_list(joined) else 0
        )
        for key, n in (("patternProperties", n_named), ("allOf", n_joined)):
            if n > MAX_PATTERNS:
                raise RequestError(
                    f"the JSON schema cannot be turned into a grammar: {key} has {n:,} patterns at "
                    f"once; join them, or leave all but {MAX_PATTERNS} out"
                )


def _is_map(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _depth(schema: Any) -> int:
    """How deep schemas stand in a schema, references not followed."""
    deepest, waiting = 0, [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Mapping):
            deepest = max(deepest, depth)
            waiting += [(item, depth + 1) for _, item in inner(value)]
    return deepest
