"""What a worker tells readers in event loops: nothing is lost, and a loop is woken once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from longctx.channel import Cancelled, Channel, WakingTogether

N = 16


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often it is woken by others."""

    n_woken = 0

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        """As of every loop."""
        self.n_woken += 1
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.mark.parametrize("together", [False, True])
def test_many_readers_of_one_worker(together: bool) -> None:
    """Each gets all of its events in order; a worker's round wakes their loop once."""
    loop = CountingLoop()
    channels = [Channel[int]() for _ in range(N)]
    n_rounds = 5
    ready = [threading.Event() for _ in range(n_rounds)]

    async def read(channel: Channel[int]) -> list[int]:
        found = []
        for i in range(n_rounds):
            waiting.append(channel)
            if len(waiting) == N * (i + 1):
                loop.call_later(0.05, ready[i].set)  # when all of them wait
            found.append(await channel.areceive())
        return found

    async def read_all() -> list[list[int]]:
        return await asyncio.gather(*map(read, channels))

    def work() -> None:
        for i, event in enumerate(ready):
            assert event.wait(10)
            if together:
                with WakingTogether():
                    for channel in channels:
                        channel.send(i)
            else:
                for channel in channels:
                    channel.send(i)

    waiting: list[Channel[int]] = []
    worker = threading.Thread(target=work)
    worker.start()
    assert loop.run_until_complete(read_all()) == [[*range(n_rounds)]] * N
    worker.join()
    loop.close()
    assert loop.n_woken == (n_rounds if together else n_rounds * N)


def test_a_worker_learns_of_a_closed_loop() -> None:
    """At its next event."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that a task was never ended
    channel = Channel[int]()
    task = loop.create_task(channel.areceive())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    with WakingTogether():
        channel.send(1)
    with pytest.raises(Cancelled):
        channel.send(2)
    del task
