"""Whether the words of a conversation reach its prompt.

A chat template is a program of somebody else's, and some drop turns without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longctx.chat.named_templates import PASS_ANOTHER
from longctx.errors import TemplateError

_CHECKED = ("user", "system", "developer")
Turns = Sequence[Mapping[str, Any]]


def check_words(turns: Turns, text: str, render: Callable[[Turns], str], *, trusted: bool) -> None:
    """Refuse a prompt in which words of the user, or of a system message, are missing.

    Args:
        turns: what the template was given.
        text: what it made of it.
        render: renders other turns the same way.
        trusted: whether the template is known to keep turns in general. The words are then looked
            for as they stand, which costs next to nothing, and only where they are not found
            (templates trim, quote or escape) is it rendered again, with words of ours around.

    Raises:
        TemplateError: which words are missing, and what to do.
    """
    if trusted and _all_stand_in(turns, text):
        return
    edges = {i: (f"qzx{i}a", f"qzx{i}z") for i, turn in enumerate(turns) if _is_checked(turn)}
    marked = [
        {**turn, "content": f"{edges[i][0]} {turn['content']} {edges[i][1]}"}
        if i in edges
        else turn
        for i, turn in enumerate(turns)
    ]
    try:
        shown = render(marked).casefold()
    except TemplateError:  # it was rendered a moment ago; ours are not to blame the words for
        return
    for i, words in edges.items():
        if not all(word in shown for word in words):
            role, content = turns[i]["role"], turns[i]["content"]
            raise TemplateError(
                f"the chat template drops words of the {role}: turn {i + 1} of {len(turns)}, "
                f"{content[:60]!r}, does not stand whole in the prompt; {PASS_ANOTHER}"
            )


def _is_checked(turn: Mapping[str, Any]) -> bool:
    return turn["role"] in _CHECKED and bool(turn["content"].strip())


def _all_stand_in(turns: Turns, text: str) -> bool:
    """Whether the words stand in the text in their order, but for white space at their edges."""
    at = 0
    for turn in filter(_is_checked, turns):
        words = turn["content"].strip()
        at = text.find(words, at)
        if at < 0:
            return False
        at += len(words)
    return True
