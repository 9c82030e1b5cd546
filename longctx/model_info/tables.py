"""Numbers and tables for people: one way to write bytes, one plain-text table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WIDTH = 88


def format_bytes(n_bytes: float) -> str:
    """Write a size in binary units with three significant digits.

    >>> format_bytes(512), format_bytes(98_300_000), format_bytes(-3 * 2**30)
    ('512 B', '93.7 MiB', '-3.00 GiB')
    """
    size, unit = abs(float(n_bytes)), 0
    while size >= 1023.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    digits = 0 if unit == 0 or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{'-' if n_bytes < 0 else ''}{size:.{digits}f} {_UNITS[unit]}"


def format_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Lay out labelled values in two columns under a title; long values wrap."""
    texts = [(label, str(value)) for label, value in rows]
    label_width = max((len(label) for label, _ in texts), default=0)
    lines = [title]
    for label, value in texts:
        indent = " " * (label_width + 4)
        wrapped = textwrap.wrap(value, _WIDTH - len(indent)) or [""]
        lines.append(f"  {label:<{label_width}}  {wrapped[0]}")
        lines.extend(indent + line for line in wrapped[1:])
    return "\n".join(lines)
