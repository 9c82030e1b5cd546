"""Values of arguments that are not written as JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from longctx.chat.calls.scan import NotJson
from longctx.grammar.schema_walk import resolve

_LONGEST = 1 << 20
"""Characters of a Python value; the parser's memory is many times as much."""
_KEY = re.compile(r'([{,]\s*)"?([\w.$-]+)"?\s*:')
_NAMES = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


def value_of(text: str, schema: Any, root: Any, *, is_text: bool | None = None) -> Any:
    """What an argument's text stands for.

    Args:
        text: as it was written.
        schema: of the argument, if the tool declares it.
        root: the tool's parameters, which the schema's references point into.
        is_text: what the markup itself says of it; None where it says nothing.
    """
    if is_text is None:
        types = types_of(schema, root)
        if types == {"string"}:
            is_text = True
        else:
            value = _parsed(text)
            if not isinstance(value, _Unparsed) and _fits(value, types):
                return value
            # Nothing else was asked for, or nothing else can be read in it.
            is_text = "string" in types or isinstance(value, _Unparsed)
            if not is_text:
                return value
    if is_text:
        return text
    value = _parsed(text)
    return text if isinstance(value, _Unparsed) else value


class _Unparsed:
    """Text that is no JSON and no Python value."""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return python_value(text.strip())
    except NotJson:
        return _Unparsed()


def python_value(text: str) -> Any:
    """A value as Python writes it; the names that JSON has for constants are taken, too.

    Raises:
        NotJson: it is none, or holds more than constants, lists and dicts.
    """
    if len(text) > _LONGEST:
        raise NotJson
    try:
        return _evaluated(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError) as error:
        raise NotJson from error


def _evaluated(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_evaluated(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {
                str(_evaluated(key)): _evaluated(value)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise NotJson


def types_of(schema: Any, root: Any) -> set[str]:
    """The JSON types that a schema allows; empty where it does not say."""
    return _types(schema, root, 0)


def _fits(value: Any, types: set[str]) -> bool:
    kind = {
        bool: "boolean", int: "integer", float: "number", str: "string", list: "array",
        dict: "object", type(None): "null",
    }[type(value)]  # fmt: skip
    return not types or kind in types or (kind == "integer" and "number" in types)


def _types(schema: Any, root: Any, depth: int) -> set[str]:
    if not isinstance(schema, Mapping) or depth > 16:
        return set()
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _types(resolve(root, reference), root, depth + 1)
    declared = schema.get("type")
    if isinstance(declared, str):
        return {declared}
    if isinstance(declared, list):
        return {kind for kind in declared if isinstance(kind, str)}
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return {_kind(value) for value in values}
    found: set[str] = set()
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key) or ():
            types = _types(part, root, depth + 1)
            if not types and key != "allOf":
                return set()
            found |= types
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "null" if value is None else "array" if isinstance(value, list) else "object"


def schema_of(parameters: Any, name: str) -> Any:
    """The schema of one argument."""
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties.get(name) if isinstance(properties, Mapping) else None


def braces_value(text: str, quote: str) -> Any:
    """The arguments of Gemma 4's ``{key:<|"|>text<|"|>,other:[1,2]}``.

    Raises:
        NotJson: the text is no such object.
    """
    # With text as JSON strings and keys quoted it is JSON.
    pieces = text.split(quote)
    if len(pieces) % 2 == 0:
        raise NotJson
    out = []
    for i, piece in enumerate(pieces):
        out.append(json.dumps(piece) if i % 2 else _KEY.sub(r'\1"\2":', piece))
    try:
        return json.loads("".join(out))
    except (ValueError, RecursionError) as error:
        raise NotJson from error
