"""Ids of what a server keeps; where there are several servers, each id says whose it is."""

from __future__ import annotations

import uuid


def new_id(kind: str, instance: str, uid: str | None = None) -> str:
    """An id such as ``resp_0f3a…``, or ``resp_INSTANCE_0f3a…``.

    Args:
        kind: its first word.
        instance: of the server; "" where there is but one.
        uid: tells it from all others; None draws one.
    """
    uid = uid or uuid.uuid4().hex
    return f"{kind}_{instance}_{uid}" if instance else f"{kind}_{uid}"


def instance_of(name: str) -> str:
    """The server that an id is of; "" where it does not say."""
    parts = name.split("_")
    return parts[1] if len(parts) == 3 else ""
