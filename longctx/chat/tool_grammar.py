"""Grammars that hold a model to a valid call of a tool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from longctx import arguments
from longctx.chat.tool_calls import HERMES_CLOSE, HERMES_OPEN, CallFormat, check_tools
from longctx.errors import RequestError, ToolError
from longctx.grammar import Grammar, JsonRule, json_rule
from longctx.options import ToolChoice
from longctx.types import ToolSchema


def tool_grammar(
    tools: Sequence[ToolSchema],
    tool_choice: ToolChoice = "auto",
    *,
    call_format: CallFormat = "json",
) -> Grammar | None:
    """Return the grammar of an answer, or None where anything goes.

    Args:
        tools: what the model may call.
        tool_choice: ``"required"`` or a named function: exactly one call. ``"auto"``: one
            call, or text that does not begin like one. ``"none"``: such text alone, for a small
            model copies the calls that it has made before.
        call_format: how the model was shown to call.

    Raises:
        ToolError: a definition is wrong, ``tool_choice`` names none of the tools, or a schema
            cannot be turned into a grammar.
    """
    checked = check_tools(tools)
    names = [tool["function"]["name"] for tool in checked]
    must_call = arguments.tool_choice(tool_choice, names)
    chosen = [tool for tool in checked if tool["function"]["name"] in (must_call or names)]
    if not chosen:
        return None
    opening = "{" if call_format == "json" else HERMES_OPEN
    text = f"text: {_not_beginning_with(opening)}\n"
    if tool_choice == "none":
        return Grammar(f"start: text\n{text}")
    call = _call_rule(chosen)
    rules = f"call: {call.text}\n"
    wrapped = "call"
    if call_format == "hermes":
        rules += "blank: /[ \\n]?/\n"
        wrapped = f'"{HERMES_OPEN}" blank call blank "{HERMES_CLOSE}"'
    if must_call:
        return _checked(f"start: {wrapped}\n{rules}", call, chosen)
    return _checked(f"start: {wrapped} | text\n{text}{rules}", call, chosen)


def _checked(lark: str, call: JsonRule, tools: list[dict[str, Any]]) -> Grammar:
    grammar = Grammar(lark, call.levels, call.warnings)
    try:
        grammar.check()
    except RequestError as error:
        raise _unusable(tools, error) from error
    return grammar


def _call_rule(tools: list[dict[str, Any]]) -> JsonRule:
    """One call object."""
    definitions: dict[str, Any] = {}
    try:
        calls = [
            {
                "type": "object",
                "properties": {
                    "name": {"const": tool["function"]["name"]},
                    "arguments": _hoist(tool["function"], definitions),
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
        return json_rule({"anyOf": calls, "$defs": definitions})
    except (RequestError, RecursionError) as error:
        raise _unusable(tools, error) from error


def _unusable(tools: list[dict[str, Any]], error: Exception) -> ToolError:
    names = ", ".join(tool["function"]["name"] for tool in tools)
    return ToolError(f"the parameters of a tool ({names}) are unusable: {error}")


def _hoist(function: Mapping[str, Any], definitions: dict[str, Any]) -> Any:
    """Move what a tool's schema refers to into ``definitions``, under names of its own.

    References count from the root of the tool's own schema, which is not the root of the
    combined one; and the converter names a rule after a reference's last part, which two
    tools may share.
    """
    root = function["parameters"]
    moved: dict[str, str] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if isinstance(value.get("$ref"), str):
            return {"$ref": f"#/$defs/{move(value['$ref'])}"}
        return {key: walk(item) for key, item in value.items() if key not in _DEFINITIONS}

    def move(reference: str) -> str:
        if reference not in moved:
            moved[reference] = name = f"ref-{len(definitions)}"
            definitions[name] = {}  # holds the number while the walk below moves others
            definitions[name] = walk(_resolve(root, reference, function["name"]))
        return moved[reference]

    return walk(root)


_DEFINITIONS = ("$defs", "definitions")


def _resolve(root: Any, reference: str, tool: str) -> Any:
    """Follow a JSON pointer (RFC 6901) inside one schema."""
    target = root
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, Mapping) and key in target:
            target = target[key]
        else:
            target = None
    if not reference.startswith("#") or target is None:
        raise ToolError(
            f"tool {tool}: its parameters refer to {reference!r}, which they do not contain; "
            "put it under '$defs' of the same schema"
        )
    return target


def _not_beginning_with(opening: str) -> str:
    """A regular expression of texts that do not begin with ``opening``, white space aside."""
    branches = [r"[^\t\n\r " + _escape(opening[0]) + r"](.|\n)*"]
    for size in range(1, len(opening)):
        head = re.escape(opening[:size])
        branches.append(f"{head}([^{_escape(opening[size])}](.|\\n)*)?")
    return rf"/[ \t\n\r]*({'|'.join(branches)})?/"


def _escape(character: str) -> str:
    return "\\" + character if character in r"\]^-/" else character
