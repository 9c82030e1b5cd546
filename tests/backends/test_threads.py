"""The choice of decode threads, on made-up timings."""

from __future__ import annotations

import pytest

from longctx.backends import DecodeThreads


@pytest.mark.parametrize(("slow", "expected"), [(4, 2), (2, 4)])
def test_the_faster_count_is_held(slow: int, expected: int) -> None:
    """After both were tried the faster median serves; then the question is asked again."""
    threads = DecodeThreads(4, burst=2, trials=2, hold=10)
    for _ in range(8):
        threads.record(1.0 if threads.current() == slow else 0.1)
    held = []
    for _ in range(10):
        held.append(threads.current())
        threads.record(0.1)
    assert held == [expected] * 10
    asked = set()
    for _ in range(8):
        asked.add(threads.current())
        threads.record(0.1)
    assert asked == {2, 4}


def test_one_thread_is_no_choice() -> None:
    """A single core never times anything."""
    threads = DecodeThreads(1)
    for _ in range(100):
        assert threads.current() == 1
        threads.record(0.1)
