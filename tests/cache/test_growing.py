"""An array that grows, against lists that are copied each time."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from longctx.cache.growing import GrowingArray

numbers = st.lists(st.integers(0, 99), max_size=40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), numbers),
        st.tuples(st.just("append"), st.integers(0, 99)),
        st.tuples(st.just("keep"), st.integers(0, 120)),
        st.tuples(st.just("copy"), st.booleans()),
    ),
    max_size=30,
)


def _array(values: list[int]) -> GrowingArray[np.int32]:
    return GrowingArray(np.array(values, np.int32))


@given(first=numbers, steps=steps)
def test_it_holds_what_a_list_would_and_views_stay_as_they_were(
    first: list[int], steps: list[tuple[str, Any]]
) -> None:
    """Whatever is added, cut off and copied, of both copies."""
    array, expected = _array(first), list(first)
    seen: list[tuple[NDArray[np.int32], list[int]]] = []
    others: list[tuple[GrowingArray[np.int32], list[int]]] = []
    for what, how in steps:
        seen.append((array.values, list(expected)))
        if what == "extend":
            array.extend(np.array(how, np.int32))
            expected += how
        elif what == "append":
            array.append(how)
            expected.append(how)
        elif what == "keep":
            array.keep(how)
            del expected[how:]
        else:
            twin = (array.copy(), list(expected))
            others.append((array, expected) if how else twin)
            array, expected = twin if how else (array, expected)
        assert len(array) == len(expected)
        assert array.values.tolist() == expected
    for other, values in others:
        assert other.values.tolist() == values
    for view, values in seen:
        assert view.tolist() == values


def test_a_token_more_copies_nothing_most_of_the_time() -> None:
    """Over 10,000 tokens the array moves a few dozen times, not once for each."""
    array = _array([])
    homes = set()
    for token in range(10_000):
        array.extend(np.array([token], np.int32))
        homes.add(array.values.__array_interface__["data"][0])
    assert len(homes) < 50
    assert array.values.dtype == np.int32
