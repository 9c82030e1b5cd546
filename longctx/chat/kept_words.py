"""Whether the words of a conversation reach its prompt.

A chat template is a program of somebody else's, and some drop messages without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longctx.chat.named_templates import PASS_ANOTHER
from longctx.errors import TemplateError

_CHECKED = ("user", "system", "developer")
PlainMessages = Sequence[Mapping[str, Any]]


def check_words(
    messages: PlainMessages, text: str, render: Callable[[PlainMessages], str], *, trusted: bool
) -> None:
    """Refuse a prompt in which words of the user, or of a system message, are missing.

    Args:
        messages: what the template was given.
        text: what it made of it.
        render: renders other messages the same way.
        trusted: whether the template is known to keep messages in general. The words are then
            looked for as they stand, which costs next to nothing, and only where they are not found
            (templates trim, quote or escape) is it rendered again, with words of ours around.

    Raises:
        TemplateError: which words are missing, and what to do.
    """
    if trusted and _all_stand_in(messages, text):
        return
    edges = {
        i: (f"qzx{i}a", f"qzx{i}z") for i, message in enumerate(messages) if _is_checked(message)
    }
    marked = [
        {**message, "content": f"{edges[i][0]} {message['content']} {edges[i][1]}"}
        if i in edges
        else message
        for i, message in enumerate(messages)
    ]
    try:
        shown = render(marked).casefold()
    except TemplateError:  # it was rendered a moment ago; ours are not to blame the words for
        return
    for i, words in edges.items():
        if not all(word in shown for word in words):
            role, content = messages[i]["role"], messages[i]["content"]
            raise TemplateError(
                f"the chat template drops words of the {role}: message {i + 1} of {len(messages)}, "
                f"{content[:60]!r}, does not stand whole in the prompt; {PASS_ANOTHER}"
            )


def _is_checked(message: Mapping[str, Any]) -> bool:
    return message["role"] in _CHECKED and bool(message["content"].strip())


def _all_stand_in(messages: PlainMessages, text: str) -> bool:
    """Whether the words stand in the text in their order, but for white space at their edges."""
    at = 0
    for message in filter(_is_checked, messages):
        words = message["content"].strip()
        at = text.find(words, at)
        if at < 0:
            return False
        at += len(words)
    return True
