"""A summary in place of the oldest turns, written by the model itself."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any

from longctx.agents.view import View, as_shown
from longctx.errors import ContextOverflowError
from longctx.types import Message

SECTIONS = {
    "goal": "What the user wants",
    "facts": "Facts to remember",
    "done": "What was done",
    "open": "What is still open",
}
_NAMES = {name.casefold() for name in (*SECTIONS, *SECTIONS.values())}
MAX_ITEMS, MAX_CHARACTERS = 6, 160
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        key: {
            "type": "array",
            "maxItems": MAX_ITEMS,
            "items": {"type": "string", "maxLength": MAX_CHARACTERS},
        }
        for key in SECTIONS
    },
    "required": list(SECTIONS),
    "additionalProperties": False,
}
_REQUEST = (
    "Before we go on: sum up our conversation so far, for yourself, because you will no longer "
    "see it. Keep names, numbers, file names and decisions exactly. Take over what an earlier "
    "summary says and is still true. Answer as JSON with four lists of short sentences: "
    + ", ".join(f'"{key}" ({title.lower()})' for key, title in SECTIONS.items())
    + "."
)


def summarise_oldest(view: View, *, max_tokens: int = 384) -> View:
    """Let the model sum up the oldest turns, in fixed sections, and show that instead of them.

    The summary is one message behind the system prompt, and the next one takes it in. The
    request follows the very turns that stand in the KV cache, so that it prefills little. A
    summary that is cut, empty, or not smaller than what it stands for is rejected, and
    the log says so; put :func:`~longctx.agents.policies.drop_oldest` behind it.

    Args:
        view: what is shown.
        max_tokens: of the model's answer.
    """
    turns = [unit for unit in view.units if view.messages[unit[0]].role == "user"]
    if not turns or not view.is_over:
        return view
    goal = view.goal_tokens - max_tokens
    enough = (n for n in range(1, len(turns)) if _without(view, turns[:n]).tokens <= goal)
    turns = turns[: next(enough, len(turns))]
    positions = [position for turn in turns for position in turn]
    try:
        completion = view.llm.chat(
            _request(view, positions[-1]),
            tools=view.tools or None,
            tool_choice="none",
            max_tokens=max_tokens,
            response_schema=SCHEMA,
        )
    except ContextOverflowError as error:
        return _rejected(view, f"there is no room to write one ({error.needed} tokens needed)")
    if completion.finish_detail == "repetition":
        return _rejected(view, "it said the same over and over")
    if completion.finish_reason == "length":
        return _rejected(view, f"it was cut after {max_tokens} tokens; raise max_tokens")
    text = render(completion.text)
    if text is None:
        return _rejected(view, "it is empty or no JSON; this model may be too small for summaries")
    after = view.with_summary(text, positions)
    if after.tokens >= view.tokens:
        return _rejected(
            view, f"with it the prompt is {after.tokens} tokens, not fewer than {view.tokens}"
        )
    prefilled = completion.usage.prefilled_tokens
    detail = f"{len(turns)} turns summed up, {prefilled} tokens prefilled for it"
    return after.logged("summarise_oldest", view.tokens, detail)


def render(answer: str) -> str | None:
    """The summary as the model will read it: tagged, in fixed sections; None where there is none.

    Args:
        answer: JSON of :data:`SCHEMA`.
    """
    try:
        said = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    sections = [(title, _items(said.get(key))) for key, title in SECTIONS.items()]
    if not any(items for _, items in sections):
        return None
    lines = ["<summary>"]
    for title, items in sections:
        lines += [f"{title}:", *(f"- {item}" for item in items)]
    return "\n".join([*lines, "</summary>"])


def _items(value: Any) -> list[str]:
    """What a section says, each thing once; not the sections' names, which small models echo."""
    texts = value if isinstance(value, list) else []
    said = dict.fromkeys(" ".join(str(text).split()) for text in texts)
    return [text for text in said if text and text.casefold() not in _NAMES]


def _request(view: View, last: int) -> list[Message]:
    """What stood in the cache up to the last of these turns, and the request."""
    end = view.shown[last].index
    before = view.before or view.shown
    head = list(takewhile(lambda s: s.index != end, before))
    return [
        *as_shown(view.transcript, before[: len(head) + 1]),
        Message(role="user", content=_REQUEST),
    ]


def _without(view: View, turns: list[tuple[int, ...]]) -> View:
    return view.without([position for turn in turns for position in turn])


def _rejected(view: View, reason: str) -> View:
    return view.logged("summarise_oldest", view.tokens, f"no summary: {reason}")
