"""A soak: mixed calls, cancellations, interrupts, closes and reopenings on the small model.

Signals raise at random moments of the main thread's calls (after each, a fact must be found again);
meanwhile an event loop cancels its readers at random, and a thread leaves its streams unread.
Wanted: no fault, only right answers, and memory that stays flat.

    make soak                       # 20 minutes
    python benchmarks/soak.py --minutes 2
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from types import FrameType

import psutil
from machine import save

from longctx import BackendError

sys.path.insert(0, str(Path(__file__).parents[1]))  # the calls are those of the tests
from tests.support.interrupts import FACT, OTHER, Calls, Stop

GROWTH = 1.15
"""Resident memory at the end over that of the second quarter, at most."""


def check_closed(error: BackendError) -> None:
    """The model was closed under a reader, which is part of this; nothing else may fail."""
    if "closed" not in str(error):
        raise error
    time.sleep(0.01)  # it is being opened again


def cancel_readers(calls: Calls, counts: Counter[str], end: float) -> None:
    """An event loop whose readers have little time."""
    choose = random.Random(1)

    async def read() -> None:
        async for _ in calls.llm.astream_chat(OTHER, max_tokens=40):
            pass

    async def main() -> None:
        while time.monotonic() < end:
            try:
                await asyncio.wait_for(read(), choose.uniform(0.001, 0.1))
                counts["async answers"] += 1
            except (asyncio.TimeoutError, TimeoutError):
                counts["async cancellations"] += 1
            except BackendError as error:
                check_closed(error)
                counts["closed under an event loop"] += 1

    asyncio.run(main())


def leave_streams(calls: Calls, counts: Counter[str], end: float) -> None:
    """A thread that reads some of its streams, and drops the others."""
    choose = random.Random(2)
    while time.monotonic() < end:
        try:
            stream = calls.llm.stream_chat(FACT, max_tokens=16)
            if choose.random() < 0.5:
                next(stream)
                counts["streams left"] += 1
            else:
                assert "4821" in stream.result.text, stream.result
                counts["answers of a second thread"] += 1
            del stream
        except BackendError as error:
            check_closed(error)
            counts["closed under a thread"] += 1


def interrupt(calls: Calls, counts: Counter[str], end: float) -> list[int]:
    """The main thread's part; resident bytes, every five seconds."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise Stop

    signal.signal(signal.SIGALRM, handler)
    choose, process, resident = random.Random(0), psutil.Process(), []
    kinds = [calls.chat] * 4 + [calls.stream, calls.by_schema, calls.batch] * 2
    kinds += [calls.by_hand] * 2 + [calls.score, calls.reopen]
    sampled = time.monotonic()
    while time.monotonic() < end:
        if time.monotonic() - sampled > 5:
            sampled = time.monotonic()
            resident.append(process.memory_info().rss)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, choose.uniform(1e-4, 40e-3))
                choose.choice(kinds)()
                counts["calls of the main thread"] += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Stop:
            counts["interrupts"] += 1
            calls.recover()
            answer = calls.llm.chat(FACT, max_tokens=16).text
            assert "4821" in answer, answer
    return resident


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    calls, counts = Calls(), Counter[str]()
    failures: list[BaseException] = []
    end = time.monotonic() + 60 * options.minutes

    def guarded(work: object) -> None:
        try:
            work(calls, counts, end)  # type: ignore[operator]  # one of the two above
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=guarded, args=(work,)) for work in (cancel_readers, leave_streams)
    ]
    for thread in threads:
        thread.start()
    resident = interrupt(calls, counts, end)
    for thread in threads:
        thread.join(60)
    calls.llm.close()
    if failures:
        raise failures[0]
    quarter = max(1, len(resident) // 4)
    growth = median(resident[-quarter:]) / median(resident[quarter : 2 * quarter] or resident)
    for name, n in sorted(counts.items()):
        print(f"{n:8,} {name}")
    print(f"memory {resident[0] / 2**20:.0f} MiB at first, {resident[-1] / 2**20:.0f} at the end")
    print(f"its last quarter over its second: {growth:.3f}")
    figures = {"minutes": options.minutes, "counts": dict(counts), "resident_bytes": resident}
    print("raw figures:", save("soak", figures))
    if growth > GROWTH:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
