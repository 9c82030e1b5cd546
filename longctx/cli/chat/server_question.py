"""What a server asks the user in the middle of a call, in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from longctx.cli.output import out
from longctx.cli.streams import inert

if TYPE_CHECKING:
    from longctx.agents import ServerAsks

Ask = Callable[[str], str | None]
_TRUTH = {
    **dict.fromkeys(("y", "yes", "true", "1"), True),
    **dict.fromkeys(("n", "no", "false", "0"), False),
}


def answer_server(event: ServerAsks, ask: Ask) -> None:
    """Have the user say what a server wants to know, field by field; one that must be known and is
    left empty declines.

    Args:
        event: takes the answer.
        ask: asks the user; None is what nobody said.
    """
    question = event.question
    _show(f"{question.server} asks: {question.message}")
    if question.url is not None:
        _show(f"It wants you to open {question.url} yourself.")
        if (_asked(ask, "have you? [y/N] ") or "").lower() in ("y", "yes"):
            event.answer()
        return
    values: dict[str, Any] = {}
    for name, field in question.fields.items():
        said = _asked(ask, f"{inert(name)}{inert(_hint(field))}: ")
        if said is None or (not said and name in question.required and "default" not in field):
            _show("(declined)")
            return
        if said:
            values[name] = _value(said, field)
        elif "default" in field:
            values[name] = field["default"]
    event.answer(**values)


def _asked(ask: Ask, words: str) -> str | None:
    try:
        said = ask(words)
    except EOFError:
        return None
    return None if said is None else said.strip()


def _hint(field: Mapping[str, Any]) -> str:
    """What may be answered."""
    parts = [str(field.get("description") or "")]
    if choices := _choices(field):
        several = "some" if field.get("type") == "array" else "one"
        parts.append(f"{several} of {', '.join(choices)}")
    elif field.get("type") not in (None, "string"):
        parts.append(str(field["type"]))
    if "default" in field:
        parts.append(f"otherwise {field['default']}")
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _choices(field: Mapping[str, Any]) -> list[str]:
    """What may be chosen, as MCP has it: plain, or each with a title; several are an array's."""
    items = field.get("items")
    holder = items if isinstance(items, Mapping) else field
    if isinstance(plain := holder.get("enum"), list):
        return [str(one) for one in plain]
    titled = holder.get("oneOf", holder.get("anyOf"))
    return [
        f"{one['const']} = {one['title']}" if one.get("title") else str(one["const"])
        for one in (titled if isinstance(titled, list) else ())
        if isinstance(one, Mapping) and "const" in one
    ]


def _value(said: str, field: Mapping[str, Any]) -> Any:
    """As the field's type wants it; what is none is for the server to refuse."""
    kind = field.get("type")
    if kind == "boolean":
        return _TRUTH.get(said.lower(), said)
    if kind == "array":
        return [part.strip() for part in said.split(",")]
    if kind in ("number", "integer"):
        try:
            number = json.loads(said)
        except ValueError:
            return said
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        return number if is_number and isfinite(number) else said
    return said


def _show(text: str) -> None:
    out.print(inert(text), markup=False, style="bold", soft_wrap=True)
