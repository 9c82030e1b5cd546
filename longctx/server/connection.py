"""Work that is worth doing only while its client listens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from longctx.server.errors import client_gone

T = TypeVar("T")


async def while_connected(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """Await an answer; cancel it when the client is gone first.

    The request's body must have been read.

    Raises:
        ApiError: the client is gone (499).
    """
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise client_gone()
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
