"""Head and tail of a text too long to show."""

from __future__ import annotations

from collections.abc import Callable

HEAD_SHARE = 2 / 3
MAX_CHARACTERS_PER_TOKEN = 32
"""More than natural text has; of a longer text only so much is counted to see that it is long."""


def clip(
    text: str, max_tokens: int, count: Callable[[str], int], where: Callable[[], str]
) -> str | None:
    """Cut the middle out of a text.

    Args:
        text: of any length; ten megabytes are not tokenised whole.
        max_tokens: of head, marker and tail together.
        count: exact tokens of a text.
        where: how to read the rest, to be put in the marker.

    Returns:
        Head, a marker that says how much was cut, and tail; None for a text that is no longer.
    """
    # A token stands for at least one byte.
    if len(text.encode()) <= max_tokens or _fits(text, max_tokens, count):
        return None
    size = min(len(text) - 1, max_tokens * MAX_CHARACTERS_PER_TOKEN)
    while size > 0:
        head = int(size * HEAD_SHARE)
        tail = size - head
        marker = f"\n[… {len(text) - size:,} of {len(text):,} characters cut{where()} …]\n"
        clipped = f"{text[:head]}{marker}{text[len(text) - tail :]}"
        tokens = count(clipped)
        if tokens <= max_tokens:
            return clipped
        # Mean density, less a little so that one or two rounds do.
        size = min(size - 1, int(0.95 * size * max_tokens / tokens))
    return f"[{len(text):,} characters cut{where()}]"


def _fits(text: str, max_tokens: int, count: Callable[[str], int]) -> bool:
    beginning = text[: max_tokens * MAX_CHARACTERS_PER_TOKEN]
    if count(beginning) > max_tokens:
        return False
    return beginning == text or count(text) <= max_tokens
