"""Values whose parts are marked as arguments are: MiniMax M3 writes objects and lists so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longctx.chat.calls.format import KEY, ParametersBody
from longctx.chat.calls.values import schema_of, types_of, value_of

_ITEM = "item"
"""The name of each part of a list."""
_DEEPEST = 50


def nested_value(
    text: str, body: ParametersBody, schema: Any, root: Any, depth: int = 0
) -> dict[str, Any] | list[Any] | None:
    """What marks inside a value stand for; None where there are none.

    Args:
        text: of the value.
        body: how arguments are marked; only marks that close with a name can be nested.
        schema: of the value, if the tool declares it.
        root: the tool's parameters, which the schema's references point into.
        depth: marks around it.
    """
    if KEY not in body.closing or depth > _DEEPEST:
        return None
    kinds = types_of(schema, root)
    if kinds and not kinds & {"object", "array"}:
        return None  # text that looks so
    opening, between = body.opening.strip(), body.of_text.strip()
    if not text.strip().startswith(opening):
        return None
    closing = re.escape(body.closing.strip()).replace(re.escape(KEY), r"\1")
    part = re.compile(
        rf"\s*{re.escape(opening)}([\w.-]+){re.escape(between)}(.*?){closing}\s*", re.DOTALL
    )
    found: list[tuple[str, Any]] = []
    at = 0
    while at < len(text):
        match = part.match(text, at)
        if match is None:
            return None
        name, inner = match[1], match[2]
        of = _schema_in(schema, name)
        value = nested_value(inner, body, of, root, depth + 1)
        found.append((name, value_of(inner, of, root) if value is None else value))
        at = match.end()
    if all(name == _ITEM for name, _ in found):
        return [value for _, value in found]
    return dict(found)


def _schema_in(schema: Any, name: str) -> Any:
    """The schema of a part."""
    found = schema_of(schema, name)
    if found is None and name == _ITEM and isinstance(schema, Mapping):
        return schema.get("items")
    return found
