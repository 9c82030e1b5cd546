"""How much of a prompt comes at once, by what the machine reads in a moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.engine.slices import (
    LARGE_BATCH,
    SLICE_S,
    SLICE_TOKENS,
    WHOLE_TOKENS,
    Slices,
    evened,
)
from longctx.model_info import ModelInfo
from tests.models import TINY

SMALL = ModelInfo.from_gguf(TINY)
LARGE = SMALL.model_copy(
    update={"n_layer": 22, "n_embd": 2048, "head_dim": 64, "n_head": 32, "n_ff": 5632}
)
"""Of a billion weights."""


def test_a_fast_machine_gets_larger_slices() -> None:
    """Never fewer than others get, never more than a batch takes."""
    slices = Slices(SMALL)
    assert slices.length(512) == SLICE_TOKENS
    for per_s, expected in ((100, SLICE_TOKENS), (6000, int(6000 * SLICE_S)), (10**6, 512)):
        for _ in range(5):
            slices.record(200, 200 / per_s)
        assert abs(slices.length(512) - expected) <= 1
    assert slices.length(64) == 64


def test_small_batches_say_nothing() -> None:
    """Nor does one that took no time by a coarse clock, or a single slow one."""
    slices = Slices(SMALL)
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


@pytest.mark.parametrize("info", [SMALL, LARGE], ids=["small", "large"])
@given(
    pending=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    n_slice=st.integers(1, 512),
    room=st.integers(1, 512),
)
def test_a_batch_is_shared_out(
    info: ModelInfo, pending: list[int], n_slice: int, room: int
) -> None:
    """Nobody gets more than is left of it, all get no more than goes in, and the oldest goes on."""
    given_ = Slices(info).shares(pending, n_slice, room)
    assert all(0 <= n <= left for n, left in zip(given_, pending, strict=True))
    assert 0 < sum(given_) <= room
    assert given_[0] >= min(pending[0], room // 2, n_slice // 3)
    # A short one that comes whole, beside it the half of the oldest, and what evening adds.
    longest = max(n_slice, WHOLE_TOKENS if info is SMALL else 0)
    assert sum(given_) <= longest + 1.5 * n_slice + 1


@pytest.mark.parametrize(
    ("pending", "small", "large"),
    [
        ([300], [300], [150]),  # short for a small model: whole
        ([WHOLE_TOKENS + 16], [134], [134]),  # longer: in even slices of about 128
        ([10_000], [129], [129]),
        ([300, 200], [300, 0], [60, 67]),  # two short ones: whole, one after the other
        ([10_000, 300], [65, 300], [69, 60]),  # beside a long one, that goes on
        ([10_000, 300, 200], [65, 0, 200], [65, 0, 67]),  # the shortest of them
        ([10_000, 9_000], [65, 64], [65, 64]),
        ([100, 50], [100, 25], [100, 25]),
        ([20, 30, 40], [20, 30, 40], [20, 30, 40]),
    ],
)
def test_who_comes_first(pending: list[int], small: list[int], large: list[int]) -> None:
    """Of prompts of these lengths, the oldest named first."""
    for info, expected in ((SMALL, small), (LARGE, large)):
        assert Slices(info).shares(pending, SLICE_TOKENS, 512) == expected


def test_a_short_prompt_is_not_cut() -> None:
    """One that does not go in any more leaves no small rest: it comes with the next batch."""
    assert Slices(SMALL).shares([274, 271], 512, 512) == [274, 0]
    assert Slices(SMALL).shares([274, 200], 512, 512) == [274, 200]
    assert Slices(SMALL).shares([300], 512, 200) == [200]  # nobody else is there


def test_no_long_prompt_starves() -> None:
    """However many short ones come, it gets half a slice of each batch."""
    long, n_batches = 4096, 0
    while long:
        given_ = Slices(SMALL).shares([long, 300, 20], SLICE_TOKENS, 500)
        assert given_[0] >= min(long, SLICE_TOKENS // 2 - 8)  # even slices
        long -= given_[0]
        n_batches += 1
    assert n_batches <= 4096 / 60
