"""What a server asks the user in the middle of a call, in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from longctx.cli.output import out
from longctx.cli.streams import inert

if TYPE_CHECKING:
    from longctx.agents import ServerAsks

Ask = Callable[[str], str | None]


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
    if isinstance(choices := field.get("enum"), list):
        parts.append("one of " + ", ".join(map(str, choices)))
    elif field.get("type") not in (None, "string"):
        parts.append(str(field["type"]))
    if "default" in field:
        parts.append(f"otherwise {field['default']}")
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _value(said: str, field: Mapping[str, Any]) -> Any:
    """As the field's type wants it; what is none is for the server to refuse."""
    kind = field.get("type")
    if kind == "boolean":
        return said.lower() in ("y", "yes", "true", "1")
    if kind == "array":
        return [part.strip() for part in said.split(",")]
    if kind in ("number", "integer"):
        try:
            number = json.loads(said)
        except ValueError:
            return said
        return number if isinstance(number, int | float) else said
    return said


def _show(text: str) -> None:
    out.print(inert(text), markup=False, style="bold", soft_wrap=True)
