"""What a client is told beside its answer, in a header."""

from __future__ import annotations

from collections.abc import Sequence

HEADER = "Longctx-Warning"


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    """The header of an answer; none where there is nothing to say."""
    said = "; ".join(warnings)
    return {HEADER: said.encode("ascii", "backslashreplace").decode()[:1000]} if said else {}


def ignored(names: Sequence[str]) -> tuple[str, ...]:
    """The warning of fields without effect; none where there are none."""
    return (f"without effect here: {', '.join(names)}",) if names else ()
