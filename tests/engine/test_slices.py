"""How much of a prompt comes at once, by what the machine reads in a moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longctx.engine.slices import LARGE_BATCH, SLICE_S, SLICE_TOKENS, Slices, evened


def test_a_fast_machine_gets_larger_slices() -> None:
    """Never fewer than others get, never more than a batch takes."""
    slices = Slices()
    assert slices.length(512) == SLICE_TOKENS
    for per_s, expected in ((100, SLICE_TOKENS), (6000, int(6000 * SLICE_S)), (10**6, 512)):
        for _ in range(5):
            slices.record(200, 200 / per_s)
        assert abs(slices.length(512) - expected) <= 1
    assert slices.length(64) == 64


def test_small_batches_say_nothing() -> None:
    """Nor does one that took no time by a coarse clock, or a single slow one."""
    slices = Slices()
    slices.record(LARGE_BATCH - 1, 1e-6)
    slices.record(500, 0.0)
    assert slices.length(512) == SLICE_TOKENS
    for seconds in (0.01, 0.01, 5.0):
        slices.record(500, seconds)
    assert slices.length(512) == 512


@given(n=st.integers(1, 5000), share=st.integers(1, 512))
def test_even_slices_leave_no_small_rest(n: int, share: int) -> None:
    """All are read, none is half as large again as it may be, and the last is no crumb."""
    pending, slices = n, list[int]()
    while pending:
        slices.append(min(pending, evened(pending, share)))
        pending -= slices[-1]
    assert max(slices) <= 1.5 * share + 1
    assert n < share or min(slices) >= share // 2
