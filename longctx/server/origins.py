"""Pages of other origins that may ask, by name (``--cors``)."""

from __future__ import annotations

import re
from collections.abc import Sequence


def origins_pattern(origins: Sequence[str]) -> str:
    """A regular expression that a whole ``Origin`` header matches where it is one of these.

    Args:
        origins: such as ``https://chat.example.org``; ``app://*`` are all of a scheme, ``*`` all.

    Examples:
        >>> bool(re.fullmatch(origins_pattern(["app://*"]), "app://obsidian.md"))
        True
    """
    return "|".join(re.escape(origin).replace(r"\*", ".*") for origin in origins)
