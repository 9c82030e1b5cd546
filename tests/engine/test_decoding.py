"""Who shares a batch, and in what order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from longctx.engine.decoding import Decoder
from longctx.model_info import ModelInfo
from tests.models import TINY


class Waiting:
    """An answer with so many tokens of its prompt to prefill."""

    def __init__(self, n_pending: int) -> None:
        self.n_pending = n_pending


@pytest.mark.parametrize(
    ("on_cpu", "pending", "expected"),
    [
        (True, [0, 0, 0], [[0, 0, 0]]),
        (True, [300, 20], [[300, 20]]),  # nobody decodes
        (True, [0, 20, 0, 10], [[0, 20, 0, 10]]),  # few rows: no tiles
        # The oldest prompt stays the first, for it has a right to its share.
        (True, [0, 3000, 300, 0, 20], [[0, 0, 20], [3000, 300]]),
        (True, [3000, 0, 60, 5], [[0, 5], [3000, 60]]),
        (False, [0, 3000, 300, 0, 20], [[0, 3000, 300, 0, 20]]),
    ],
)
def test_prompts_that_make_tiles_have_a_batch_of_their_own(
    on_cpu: bool, pending: list[int], expected: list[list[int]]
) -> None:
    """And who comes first in one has come first."""
    backend: Any = SimpleNamespace(
        attends_on_cpu=on_cpu,
        info=ModelInfo.from_gguf(TINY),
        plan=SimpleNamespace(placement=SimpleNamespace(shares=())),
    )
    answers: Any = [Waiting(n) for n in pending]
    found = Decoder(backend).batches(answers)
    assert [[each.n_pending for each in batch] for batch in found] == expected
