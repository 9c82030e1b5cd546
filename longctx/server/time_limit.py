"""Work that must be done in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from longctx.server.errors import timed_out

T = TypeVar("T")


async def in_time(work: Awaitable[T], timeout_s: float, remedy: str, *, passed_s: float = 0.0) -> T:
    """Await it, or give it up.

    Args:
        work: what is to be done.
        timeout_s: what the operator allows.
        remedy: what the client may do.
        passed_s: of that, what has passed already.

    Raises:
        ApiError: the time is up (504).
    """
    task = asyncio.ensure_future(work)
    try:
        # Not wait_for(): before Python 3.12 it drops a cancelling that comes when the work is done.
        await asyncio.wait((task,), timeout=timeout_s - passed_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        raise timed_out(timeout_s, remedy)
    return task.result()
