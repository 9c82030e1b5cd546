"""Servers that cannot listen where they were told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from longctx.errors import LongCtxError


@contextmanager
def listening_on(host: str, port: int, remedy: str) -> Iterator[None]:
    """Run uvicorn inside: where it cannot listen it logs why, and would end the process.

    Args:
        host: the address.
        port: of TCP.
        remedy: what the operator may do.

    Raises:
        LongCtxError: it cannot.
    """
    try:
        yield
    except SystemExit as stop:
        if not stop.code:  # of whoever handles SIGTERM
            raise
        raise LongCtxError(
            f"cannot listen on {host}, port {port} (the log says why); {remedy}"
        ) from stop
