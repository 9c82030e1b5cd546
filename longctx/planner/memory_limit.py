"""How much memory a plan may use: what the caller says, or what is free now."""

from __future__ import annotations

import math
import re
from numbers import Integral
from pathlib import Path

import psutil

from longctx.errors import PlanError
from longctx.model_info import format_bytes

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_CGROUP = Path("/sys/fs/cgroup")
# What stays free for the rest: a tenth, and no less than this.
_MARGIN_BYTES = 256 * 2**20


def resolve_memory_limit(limit: int | str | None) -> tuple[int, str]:
    """Turn a limit into bytes.

    Args:
        limit: bytes, a text such as ``"6GiB"``, ``"512 MiB"`` or ``"2GB"`` (GB is 10⁹ bytes), or
            None for what is free now less a margin of a tenth, at least 256 MiB.

    Returns:
        Bytes, and where they come from, in words.

    Raises:
        PlanError: the limit is no size, or not positive.
    """
    if limit is None:
        free = free_bytes()
        return max(0, free - max(_MARGIN_BYTES, free // 10)), (
            f"{format_bytes(free)} are free now, less a margin"
        )
    size = size_of(limit)
    if size is None:
        raise PlanError(
            f"memory_limit is {limit!r}; give bytes (a positive whole number), a text such as "
            "'6GiB' or '512MiB', or None for what is free now"
        )
    return size, "the limit given"


def size_of(given: object) -> int | None:
    """Bytes, given so or as a text such as ``"6GiB"``; None where it is no size."""
    size: float = 0
    if isinstance(given, str):
        match = _SIZE.fullmatch(given)
        size = float(match[1]) * _UNITS[(match[2] or "").lower()] if match else 0
    elif isinstance(given, Integral) and not isinstance(given, bool):
        size = int(given)
    return int(size) if 1 <= size < math.inf else None


def free_bytes() -> int:
    """Memory that this process may still take: the machine's, or less in a container."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return available
        used = int((_CGROUP / "memory.current").read_text())
        fields = (line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cached = sum(int(value) for key, value in fields if key in ("active_file", "inactive_file"))
        return min(available, max(0, int(limit) - used + cached))
    except (OSError, ValueError):  # no Linux, or no such control group: no further limit
        return available
