"""What is known beside the user's words, and stands behind them in the same turn."""

from __future__ import annotations

_BEGINS, _ENDS = "\n\n<background>\n", "\n</background>"


def with_background(words: str, known: str) -> str:
    """The user's words, and what is known beside them."""
    return f"{words}{_BEGINS}{known}{_ENDS}" if known else words


def own_words(text: str) -> str:
    """The user's words without what :func:`with_background` put behind them."""
    return _parted(text)[0]


def background_of(text: str) -> str:
    """What :func:`with_background` put behind the user's words; "" where it did not."""
    return _parted(text)[1]


def _parted(text: str) -> tuple[str, str]:
    if not text.endswith(_ENDS):
        return text, ""
    words, _, known = text.removesuffix(_ENDS).partition(_BEGINS)
    return words, known
