"""The count of cells, against one that remembers each cell of each sequence."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from longctx.cache.cell_sharing import CellSharing

SEQUENCES = range(5)
steps = st.lists(
    st.tuples(
        st.sampled_from(["fill", "keep", "copy", "drop"]),
        st.sampled_from(SEQUENCES),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(steps=steps)
def test_counts_are_those_of_single_cells(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is filled, cut, copied and dropped."""
    sharing, names = CellSharing(), count()
    cells: dict[int, list[int]] = {sequence: [] for sequence in SEQUENCES}
    for what, sequence, n in steps:
        if what == "fill":
            sharing.fill(sequence, n)
            cells[sequence] += [next(names) for _ in range(n)]
        elif what == "keep":
            sharing.keep(sequence, n)
            del cells[sequence][n:]
        elif what == "drop":
            sharing.drop(sequence)
            cells[sequence] = []
        elif not cells[target := n % len(SEQUENCES)]:
            sharing.copy(sequence, target)
            cells[target] = list(cells[sequence])
        for own in SEQUENCES:
            others = {cell for other in SEQUENCES if other != own for cell in cells[other]}
            assert sharing.n_of(own) == len(cells[own])
            assert sharing.n_shared(own) == len(others & set(cells[own]))
            assert sharing.n_of_others(own) == len(others)
        assert sharing.n_used == len({cell for each in cells.values() for cell in each})


def test_wrong_drafts_of_a_copy() -> None:
    """Of four tokens a batch three go again, a thousand times; then it is copied itself."""
    sharing = CellSharing()
    sharing.fill(0, 100)
    sharing.copy(0, 1)
    for n in range(1000):
        sharing.fill(1, 4)
        sharing.keep(1, 101 + n)
    sharing.copy(1, 2)
    assert sharing.n_shared(2) == 1100
    assert sharing.n_used == 1100
