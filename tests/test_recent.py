"""The least recently used go first, beyond a size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from longctx.recent import Recent


def kept(size: int) -> Recent[str, int]:
    """Texts, by their length."""
    return Recent(size, lambda text, _: len(text))


def test_the_oldest_make_way() -> None:
    """What was read lately stays, what was not goes."""
    recent = kept(10)
    for text in ("four", "five", "x"):
        recent.put(text, len(text))
    assert recent.get("four") == 4
    recent.put("xy", 2)
    assert recent.get("five") is None
    assert [recent.get(text) for text in ("four", "x", "xy")] == [4, 1, 2]


def test_a_value_is_replaced_not_added() -> None:
    """Its old size is given back."""
    recent: Recent[str, str] = Recent(10, lambda _, value: len(value))
    for _ in range(5):
        recent.put("key", "12345678")
    recent.put("other", "12")
    assert len(recent) == 2
    assert recent.get("key") == "12345678"


def test_what_is_too_large_alone_is_not_kept() -> None:
    """And throws nothing out, but its own older value."""
    recent = kept(5)
    recent.put("abc", 3)
    recent.put("too long", 8)
    assert recent.get("too long") is None
    assert recent.get("abc") == 3


def test_threads() -> None:
    """Reading, writing and dropping at once: sizes stay true."""
    recent = kept(40)

    def work(n: int) -> None:
        text = "x" * (n % 13 + 1)
        recent.put(text, len(text))
        assert recent.get(text) in (None, len(text))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(5000)))
    present = [n for n in range(1, 14) if recent.get("x" * n) is not None]
    assert len(present) == len(recent)
    assert 40 - 13 < sum(present) <= 40
