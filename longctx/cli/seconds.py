"""Times as people write them on a command line."""

from __future__ import annotations

import re

from longctx.errors import RequestError

_UNITS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600}


def seconds(name: str, text: str) -> float:
    """Read a time such as 10min, 90s or 2h.

    Raises:
        RequestError: it is none; ``name`` is the option's.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h)?\s*", text)
    if match is None:
        raise RequestError(f"{name} is {text!r}; give a time such as 10min, 90s or 2h")
    return float(match[1]) * _UNITS[match[2] or ""]
