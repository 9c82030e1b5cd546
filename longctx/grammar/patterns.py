"""Regular expressions of schemas, in the dialect of grammars, which has no look-ahead.

Schemas have JavaScript's and Python's: there, much stands for itself that Rust has a meaning for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from longctx.grammar.schema_walk import Schema

# A set of characters, over and over, to the end: the only ones that a string must not be.
_ONLY = re.compile(r"\^?\[(\^?(?:\\.|[^\]\\])+)\][*+]\$")


_LITERAL = re.compile(r"/(\^.*\$)/([a-z]*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:c[A-Za-z]|[pPux]\{\w[^{}]*\})")
_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")


def of_rust(pattern: str) -> str:
    """The same regular expression, where JavaScript or Python write it otherwise than Rust."""
    if literal := _LITERAL.fullmatch(pattern):  # with its slashes, nothing could match it
        pattern = f"(?i){literal[1]}" if "i" in literal[2] else literal[1]
    out, i, in_set = [], 0, False
    while i < len(pattern):
        c, after = pattern[i], pattern[i + 1 : i + 2]
        if c == "\\" and after:
            found = _ESCAPE.match(pattern, i)
            escape = found[0] if found else pattern[i : i + 2]
            out.append(_escape(escape))
            i += len(escape)
            continue
        if in_set:
            is_set = c == "[" and not _POSIX.match(pattern, i)
            out.append("\\" + c if is_set or c in "&~" else c)
            if c == "[" and not is_set:  # of POSIX, whose bracket does not close the set
                end = pattern.index(":]", i)
                out[-1] = pattern[i : end + 2]
                i = end + 1
            in_set = c != "]"
        elif pattern.startswith("[^]", i):
            out.append(r"[\s\S]")
            i += 2
        elif c == "{" and not _QUANTIFIER.match(pattern, i):
            out.append(r"\{")
        else:
            in_set = c == "["
            out.append(c)
        i += 1
    return "".join(out)


def _escape(text: str) -> str:
    if text in (r"\<", r"\>"):  # would be the beginning and the end of a word
        return text[1]
    if text == r"\Z":
        return r"\z"
    if text.startswith(r"\c") and len(text) == 3:
        return f"\\x{ord(text[2]) % 32:02x}"
    return text


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
