"""What llama.cpp gets of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx._native import Context, ContextParams, Model, Part
from longctx._native.batch import Batch
from longctx.errors import BackendError
from tests.models import TINY

N_MOST = 64


@st.composite
def _parts(draw: st.DrawFn) -> list[Part]:
    parts = []
    for _ in range(draw(st.integers(1, 8))):
        ids = draw(st.lists(st.integers(0, 999), min_size=1, max_size=N_MOST // 8))
        is_array, n_outputs = draw(st.booleans()), draw(st.integers(0, len(ids)))
        tokens = np.array(ids, np.int32) if is_array else ids
        parts.append(Part(tokens, draw(st.integers(0, 999)), draw(st.integers(0, 31)), n_outputs))
    return parts


@given(batches=st.lists(_parts(), min_size=1, max_size=4))
def test_it_is_what_its_parts_are(batches: list[list[Part]]) -> None:
    """Each token with its place, its sequence, and whether it is followed; nothing is left of the
    batch before."""
    batch = Batch(N_MOST)
    for parts in batches:
        rows = batch.fill(parts)
        expected = [
            (int(token), part.first_position + i, part.seq_id, i >= n - part.n_outputs)
            for part in parts
            for n in [len(part.tokens)]
            for i, token in enumerate(part.tokens)
        ]
        native = batch.native
        assert not native.embd
        assert native.n_tokens == len(expected)
        assert [native.n_seq_id[i] for i in range(native.n_tokens)] == [1] * len(expected)
        assert [
            (native.token[i], native.pos[i], native.seq_id[i][0], bool(native.logits[i]))
            for i in range(native.n_tokens)
        ] == expected
        assert rows == [end - 1 for end in accumulate(len(part.tokens) for part in parts)]
        assert batch.output_rows == [i for i, each in enumerate(expected) if each[3]]


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    """Two sequences of the small model."""
    model = Model(TINY)
    context = Context(model, ContextParams(n_ctx=256, n_seq_max=2, n_outputs=4))
    yield context
    context.close()
    model.close()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "not 0 of 0"),
        ([Part([], 0, 0)], "not 0 of 1"),
        ([Part([5], 0, 0), Part([], 0, 1)], "some of each of 1 to 2 sequences, not 1 of 2"),
        ([Part([5], 0, 0), Part([5], 0, 1), Part([5], 1, 1)], "not 3 of 3"),
        ([Part([5] * 513, 0, 0)], "not 513 of 1"),
        ([Part([5] * 8, 0, 0, 8)], "keeps logits of 4 tokens a batch, not 8"),
        ([Part([5], 0, 0), Part([-1], 0, 1)], "outside the vocabulary"),
        ([Part(np.array([5, 10**6], np.int32), 0, 0)], "outside the vocabulary"),
        ([Part([5], 0, 0), Part([5], -1, 1)], "positions begin at 0"),
    ],
)
def test_what_llama_cpp_would_not_bear_is_refused_before(
    context: Context, parts: list[Part], said: str
) -> None:
    """It asserts of some, which ends the process; and nothing is decoded."""
    with pytest.raises(BackendError, match=said):
        context.decode_parts(parts)
    assert context.last_position(0) == context.last_position(1) == -1
