"""The index of n-grams against a search of the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longctx.engine.lookup import LONGEST, MAX_PLACES, SHORTEST, PromptLookup

# Few tokens, so that everything repeats; and pieces of their own, said again.
FEW = st.lists(st.integers(0, 2), max_size=60)
PIECES = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), max_size=5).flatmap(
    lambda pieces: st.lists(st.sampled_from(pieces or [[1]]), max_size=9).map(
        lambda chosen: [token for piece in chosen for token in piece]
    )
)


def searched(ids: list[int], n_tokens: int) -> list[int]:
    """The same by looking everywhere: the longest match, of equals the last."""
    ends = [
        end
        for end in range(SHORTEST, len(ids))
        if ids[end - SHORTEST : end] == ids[len(ids) - SHORTEST :]
    ]
    best = max(
        ends[-MAX_PLACES:],
        key=lambda end: (
            max(n for n in range(1, min(LONGEST, end) + 1) if ids[end - n : end] == ids[-n:]),
            end,
        ),
        default=None,
    )
    if best is None:
        return []
    followed: list[int] = []
    while len(followed) < n_tokens:
        followed.append([*ids, *followed][best + len(followed)])
    return followed


@given(text=FEW | PIECES, n_tokens=st.integers(0, 40))
def test_it_foretells_what_a_search_finds(text: list[int], n_tokens: int) -> None:
    """The longest of the last places, and the last of the longest."""
    assert PromptLookup(text).foretell(n_tokens) == searched(text, n_tokens)


@given(text=FEW | PIECES, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_a_text_that_grows_is_the_same_text(text: list[int], cuts: list[int]) -> None:
    """However it came: at once, in pieces, token by token."""
    lookup, begin = PromptLookup(), 0
    for end in [*sorted(cut for cut in cuts if cut <= len(text)), len(text)]:
        lookup.extend(text[begin:end])
        begin = end
        assert len(lookup) == end
        assert lookup.foretell(7) == PromptLookup(text[:end]).foretell(7)


@given(piece=st.lists(st.integers(0, 99), min_size=SHORTEST, max_size=9, unique=True))
def test_a_repetition_goes_on(piece: list[int]) -> None:
    """Said twice, it is foretold for as long as one asks."""
    assert PromptLookup(piece * 2).foretell(40) == (piece * 14)[:40]


def test_a_longer_match_is_worth_more_than_a_later_one() -> None:
    """The line of room 7 stood first; that of room 8 ends alike, and stood last."""
    text = [7, 1, 2, 3, 47, 9, 8, 1, 2, 3, 48, 9, 7, 1, 2, 3]
    assert PromptLookup(text).foretell(1) == [47]
    assert PromptLookup([*text[:-4], 5, 1, 2, 3]).foretell(1) == [48]


def test_a_frame_that_repeats_costs_no_more() -> None:
    """Only the last places are compared: the one that matches best may be further back."""
    frame = [token for row in range(500) for token in (1000 + row, 1, 2, 3)]
    lookup = PromptLookup([*frame, 1000, 1, 2, 3])
    assert lookup.foretell(1) == [1000]
    assert PromptLookup([*frame, 1499, 1, 2, 3]).foretell(1) == [1499]
