"""How long drafts are: by what batches took, on machines of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from longctx.engine.drafting import LENGTHS, MAX_DRAFT, WANTED_LENGTH, Drafting, Foretold

COUNTING = [*range(50), *range(40)]


def quoting(streak: int, wanted: bool | None = None, n: int = MAX_DRAFT) -> Foretold:
    """An answer that has quoted so many tokens, and may go on."""
    foretold = Foretold([*range(200), 1000, *range(5)], wanted)
    foretold.look([], n)
    foretold.streak = streak
    return foretold


def free(wanted: bool | None = None) -> Foretold:
    """An answer that says nothing that was said before."""
    foretold = Foretold(range(200), wanted)
    foretold.look([500], MAX_DRAFT)
    return foretold


def on(seconds: Callable[[int], float], *, trials: int = 3) -> Drafting:
    """A machine on which batches of all sizes were tried."""
    drafting = Drafting(trials=trials)
    for n_rows in range(1, 65):
        for _ in range(trials):
            drafting.record(n_rows, seconds(n_rows))
    return drafting


def test_what_is_foretold_is_checked_token_by_token() -> None:
    """Right ones in a row count; the first wrong one ends both draft and row."""
    foretold = Foretold(COUNTING, None)
    foretold.look([40, 41], 4)
    assert foretold.ids == [42, 43, 44, 45]
    assert [foretold.is_right(token) for token in (42, 43, 7, 45)] == [True, True, False, False]
    assert foretold.streak == 0
    foretold.look([40, 41, 42, 43, 7], 4)
    assert foretold.ids == []
    assert not foretold.is_right(9)


def test_nothing_is_foretold_where_there_is_no_room_or_no_wish() -> None:
    """A limit below one; an answer that wants none."""
    for wanted, limit in ((None, 0), (None, -3), (False, 9)):
        foretold = Foretold(COUNTING, wanted)
        foretold.look([40, 41], limit)
        assert not foretold.ids


def test_the_expected_tokens_are_laplaces() -> None:
    """After s right ones, j more with (s + 1) / (s + 1 + j); one token is certain."""
    assert quoting(0).expected(0) == 1
    assert quoting(0).expected(3) == pytest.approx(1 + 1 / 2 + 1 / 3 + 1 / 4)
    assert quoting(9).expected(2) == pytest.approx(1 + 10 / 11 + 10 / 12)
    assert quoting(10**6).expected(31) == pytest.approx(32, rel=1e-3)
    assert quoting(9, n=2).expected(31) == quoting(9).expected(2)
    assert free().expected(31) == 1


def test_a_batch_that_costs_its_tokens_brings_no_drafts() -> None:
    """However sure they are: every row takes as long as a token alone."""
    drafting = on(lambda n_rows: n_rows)
    assert drafting.length([quoting(10**6)], 32) == 0


def test_a_batch_that_costs_one_token_brings_long_drafts_at_once() -> None:
    """On a GPU the first match is worth a try."""
    drafting = on(lambda n_rows: 1.0)
    assert drafting.length([quoting(0)], 32) == MAX_DRAFT
    assert drafting.length([free()], 32) == 0


def test_drafts_grow_with_what_was_right() -> None:
    """On two cores with F16 weights: none, then short ones, then long ones."""
    drafting = on(lambda n_rows: 1.0 if n_rows == 1 else 1.3 + 0.3 * n_rows)
    lengths = [drafting.length([quoting(streak)], 32) for streak in (0, 2, 8, 60, 10**6)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[1] == LENGTHS[1]
    assert lengths[-1] == MAX_DRAFT


def test_one_that_would_wait_for_the_drafts_of_others_decides() -> None:
    """Beside an answer in its own words there are none where they make a batch slower."""
    drafting = on(lambda n_rows: 1.0 if n_rows == 1 else 1.3 + 0.3 * n_rows)
    assert drafting.length([quoting(60), quoting(60)], 32) > 0
    assert drafting.length([quoting(60), free()], 32) == 0
    assert drafting.length([quoting(60), quoting(60, False)], 32) == 0
    assert drafting.length([quoting(60, True), free()], 32) == 0


def test_a_batch_has_only_so_many_rows() -> None:
    """All answers share them."""
    drafting = on(lambda n_rows: 1.0)
    assert drafting.length([quoting(60)], 16) == 15
    assert drafting.length([quoting(60)] * 4, 32) == 7
    assert drafting.length([quoting(60)] * 9, 32) == 0
    assert drafting.length([quoting(60)], 1) == 0


def test_who_wants_drafts_gets_them_unmeasured() -> None:
    """Where all of a batch do, in its rows."""
    wanting = quoting(0, True)
    assert Drafting().length([wanting], 32) == WANTED_LENGTH
    assert Drafting().length([wanting] * 8, 32) == 3
    assert Drafting().length([wanting, quoting(0)], 32) == 0
    assert Drafting().length([free(True)], 32) == 0


def test_nothing_is_tried_before_a_token_alone_is_known() -> None:
    """Then what is sure is, three times; then it is known whether it pays."""
    drafting = Drafting(trials=3)
    for _ in range(3):
        assert drafting.length([quoting(60)], 4) == 0
        drafting.record(1, 1.0)
    for _ in range(3):
        assert drafting.length([quoting(60)], 4) == 3
        drafting.record(4, 9.0)
    assert drafting.length([quoting(60)], 4) == 0


def test_a_size_is_tried_where_half_of_it_is_expected() -> None:
    """Two tokens foretold rightly are worth a short draft once, and no long one."""
    drafting = Drafting(trials=1)
    drafting.record(1, 1.0)
    assert drafting.length([quoting(0)], 32) == 0
    assert drafting.length([quoting(1)], 32) == 3
    drafting.record(4, 9.0)
    assert drafting.length([quoting(1)], 32) == 0
    assert drafting.length([quoting(4)], 32) == 7


def test_what_disturbs_a_batch_is_not_its_time() -> None:
    """Of three, two were held up by another program; nor is a gain within the noise one."""
    drafting = Drafting()
    for alone, batch in ((1.0, 2.0), (9.0, 30.0), (5.0, 40.0)):
        drafting.record(1, alone)
        drafting.record(4, batch)
    assert drafting.length([quoting(60)], 4) == 3
    drafting = on(lambda n_rows: 1.0 if n_rows == 1 else 3.8)
    assert drafting.length([quoting(10**6)], 4) == 3
    drafting = on(lambda n_rows: 1.0 if n_rows == 1 else 3.9)
    assert drafting.length([quoting(10**6)], 4) == 0


def test_what_was_measured_is_forgotten() -> None:
    """The machine was busy then; the question is asked again."""
    drafting = Drafting(trials=1, hold=4)
    drafting.record(1, 1.0)
    drafting.record(4, 9.0)
    assert drafting.length([quoting(60)], 4) == 0
    for _ in range(3):
        drafting.record(1, 1.0)
    assert drafting.length([quoting(60)], 4) == 3
