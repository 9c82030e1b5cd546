"""Regular expressions of schemas, without the look-ahead that no grammar has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from longctx.grammar.schema_walk import Schema

# A set of characters, over and over, to the end: the only ones that a string must not be.
_ONLY = re.compile(r"\^?\[(\^?(?:\\.|[^\]\\])+)\][*+]\$")


def without_lookahead(schema: Schema) -> Schema:
    """A string's schema whose pattern does not look ahead at its start, where that can be written.

    ``^(?=A)B`` is ``^A`` and ``^B``, both: an ``allOf``. ``^(?![set]*$)B`` is ``^B`` with some
    character outside of the set, which is how pydantic writes a Decimal's.
    """
    pattern = schema["pattern"]
    rest, also = pattern, []
    if not pattern.startswith("^") or _alternatives(pattern):
        return schema
    rest = pattern[1:]
    while rest.startswith(("(?=", "(?!")):
        end = _closing(rest)
        if end is None:
            return schema
        body, is_negative = rest[3:end], rest[2] == "!"
        if not is_negative:
            also.append(f"^(?:{body.removeprefix('^')})")
        elif found := _ONLY.fullmatch(body):
            inside = found[1]
            also.append(f"[{inside[1:]}]" if inside.startswith("^") else f"[^{inside}]")
        else:
            return schema
        rest = rest[end + 1 :]
    if not also:
        return schema
    parts = [*schema.get("allOf", ()), *({"pattern": text} for text in also)]
    return {**schema, "pattern": "^" + rest, "allOf": parts}


def _alternatives(pattern: str) -> bool:
    """Whether ``|`` stands outside of all groups, so that the start is that of one branch alone."""
    return any(c == "|" and depth == 0 for _, c, depth in _structure(pattern))


def _closing(pattern: str) -> int | None:
    """Where the group that a pattern begins with is closed."""
    return next((i for i, c, depth in _structure(pattern) if c == ")" and depth == 0), None)


def _structure(pattern: str) -> Iterator[tuple[int, str, int]]:
    """(place, character, groups open behind it) of brackets and bars: not escaped, in no set."""
    depth, i, in_set = 0, 0, False
    while i < len(pattern):
        c = pattern[i]
        if c == "\\":
            i += 1
        elif in_set:
            in_set = c != "]"
        elif c == "[":
            in_set = True
        elif c in "()|":
            depth += {"(": 1, ")": -1, "|": 0}[c]
            yield i, c, depth
        i += 1
