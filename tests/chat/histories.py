"""Conversations that grow, as templates are given them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

Plain = dict[str, Any]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def growing(chance: Random, *, n_turns: int, text_arguments: bool) -> Iterator[list[Plain]]:
    """A conversation after each of its turns; sometimes cut, forked, or changed in the middle.

    Args:
        chance: draws roles, tools, thoughts, and what looks alike and is not.
        n_turns: of the user.
        text_arguments: whether the template wants a call's arguments as text.
    """
    talk: list[Plain] = []
    if chance.random() < 0.5:
        talk.append({"role": "system", "content": "Be brief."})
    for number in range(n_turns):
        talk += _turn(chance, number, text_arguments)
        shown = list(talk)
        kind = chance.random()
        if kind < 0.3:
            shown.pop()
        elif kind < 0.6:
            shown.append({"role": "user", "content": f"And {number}?"})
        elif kind < 0.7:
            shown[chance.randrange(len(shown))] = {"role": "user", "content": "Otherwise."}
        yield shown


def _turn(chance: Random, number: int, text_arguments: bool) -> Iterator[Plain]:
    words = chance.choice(["Hi", "  spaced ", "<think>no</think>", "é日本"])
    role = "system" if chance.random() < 0.12 else "user"
    yield {"role": role, "content": f"{words} {number}"}
    for step in range(chance.randint(1, 3) if chance.random() < 0.5 else 0):
        calls = [
            _call(chance, number, step, i, text_arguments) for i in range(chance.choice((1, 2)))
        ]
        yield _said(chance, chance.choice(["", "Let me see."]), number) | {"tool_calls": calls}
        for call in calls:
            yield {
                "role": "tool", "content": "Sun.", "tool_call_id": call["id"], "name": "weather"
            }  # fmt: skip
    yield _said(chance, chance.choice(["Fine.", "<think>x</think>Ok."]), number)


def _call(chance: Random, number: int, step: int, i: int, text_arguments: bool) -> Plain:
    city, n = chance.choice(["Rome", 'O"slo']), chance.choice([1, True, 1.0, 0.0, -0.0])
    arguments: Any = '{"city": "Rome"}' if text_arguments else {"city": city, "n": n}
    function = {"name": "weather", "arguments": arguments}
    return {"id": f"call{number:03}{step}{i}", "type": "function", "function": function}


def _said(chance: Random, words: str, number: int) -> Plain:
    message: Plain = {"role": "assistant", "content": words}
    if chance.random() < 0.5:
        thought = f"Thought {number}."
        message |= {"reasoning_content": thought, "thinking": thought, "reasoning": thought}
    return message
