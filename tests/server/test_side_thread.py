"""What is done beside the large models: its queue, and its end."""

from __future__ import annotations

import asyncio
import threading

from longctx.server.errors import ApiError
from longctx.server.side_thread import SideThread


def test_a_queue_that_is_full_and_a_server_that_stops() -> None:
    """One more than there are threads and places is a 429; at the end all who have no answer are
    told so, those whose step is under way and who come late included."""
    go = threading.Event()

    async def asked() -> list[str | None]:
        threads = SideThread(max_waiting=1, timeout_s=60, n_threads=2)

        async def ask() -> str | None:
            try:
                await threads.answer(lambda: threads.run(lambda: go.wait(60)))
            except ApiError as error:
                return error.code
            return "answered"

        under_way = [asyncio.ensure_future(ask()) for _ in range(3)]
        await asyncio.sleep(0)
        codes = [await ask()]
        threads.end_all()
        codes += await asyncio.wait_for(asyncio.gather(*under_way), 60)
        codes.append(await ask())
        go.set()
        await threads.close()
        return codes

    assert asyncio.run(asked()) == ["queue_full", *["shutting_down"] * 4]
