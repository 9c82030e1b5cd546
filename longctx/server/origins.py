"""Pages of other origins that may ask, by name (``--cors``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

LOOPBACK = "localhost"
"""Stands for all pages of this machine, whatever their port."""
_LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


def origins_pattern(origins: Sequence[str]) -> str:
    """A regular expression that a whole ``Origin`` header matches where it is one of these.

    Args:
        origins: such as ``https://chat.example.org``; ``app://*`` are all of a scheme,
            ``localhost`` those of this machine, ``*`` all.

    Examples:
        >>> bool(re.fullmatch(origins_pattern(["app://*"]), "app://obsidian.md"))
        True
    """
    return "|".join(
        _LOOPBACK if origin == LOOPBACK else re.escape(origin).replace(r"\*", ".*")
        for origin in origins
    )
