"""Tables of which `make test` tests a few rows, and `make test-thorough` the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

thorough = pytest.mark.thorough


def quick(rows: Iterable[Any], *some: Any) -> list[Any]:
    """A table's rows for ``parametrize``: thorough, but for these.

    Args:
        rows: of the table.
        some: those that every run of the tests takes, one of a kind.
    """
    table = list(rows)
    assert all(row in table for row in some), some
    return [
        row
        if row in some
        else pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=thorough)
        for row in table
    ]
