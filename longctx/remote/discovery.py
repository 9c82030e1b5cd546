"""Which model of a server, and how much of its window."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from longctx.errors import PlanError, RemoteError
from longctx.remote.connection import Connection


def find_model(connection: Connection, name: str | None) -> Mapping[str, Any]:
    """A model's entry in ``/v1/models``; None is the only one.

    Raises:
        RemoteError: there is none of this name, or there are several and none is named.
    """
    found = connection.get("/v1/models").get("data")
    listed = found if isinstance(found, list) else []
    entries = [entry for entry in listed if isinstance(entry, dict) and "id" in entry]
    if name is None and len(entries) == 1:
        return entries[0]
    for entry in entries:
        if entry["id"] == name:
            return entry
    names = ", ".join(repr(entry["id"]) for entry in entries[:20]) or "none"
    wanted = "pass one as model=" if name is None else f"{name!r} is none of them"
    raise RemoteError(f"{connection.root} has these models: {names}; {wanted}")


def choose_window(told: int | None, wanted: object, root: str) -> int:
    """Tokens to use: the server's window, or less.

    Args:
        told: what the server says; None where it does not.
        wanted: what the caller asks for; None is all of it.
        root: the server's address, for messages.

    Raises:
        RemoteError: neither says.
        PlanError: more is wanted than there is, or nonsense.
    """
    if wanted is None:
        if told is None:
            raise RemoteError(f"{root} does not tell how large its window is; pass target_ctx=")
        return told
    if isinstance(wanted, bool) or not isinstance(wanted, Integral):
        raise PlanError(f"target_ctx is {wanted!r}; give a whole number of tokens, or None")
    wanted = int(wanted)
    if wanted < 1 or (told is not None and wanted > told):
        most = "" if told is None else f", and the server's window {told:,} tokens"
        raise PlanError(
            f"target_ctx is {wanted:,}{most}; ask for 1 to what it has, or serve a larger one",
            largest_ctx=told,
        )
    return wanted


def is_count(value: object) -> bool:
    """Whether it is a whole number of 0 or more."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
