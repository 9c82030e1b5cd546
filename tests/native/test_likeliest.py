"""The likeliest token without llama.cpp's chain of samplers: the same, where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from longctx._native import Context, ContextParams, Model, Part, Sampler
from longctx.sampling import Sampling
from tests.models import TINY


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """The small model."""
    model = Model(TINY)
    yield model
    model.close()


@pytest.fixture(params=[True, False], ids=["unified", "streams"])
def context(model: Model, request: pytest.FixtureRequest) -> Iterator[Context]:
    """Four sequences, in shared cells or in streams."""
    params = ContextParams(n_ctx=256, n_seq_max=4, n_outputs=16, kv_unified=request.param)
    context = Context(model, params)
    yield context
    context.close()


def test_each_row_has_its_own(model: Model, context: Context) -> None:
    """Of several texts in a batch, with the rows of drafts; and again of the next batch."""
    parts = [Part([10 + i, 20 + i, 30 + i, 40 + i][: 1 + i], 0, i, 1 + i // 2) for i in range(4)]
    rows = context.decode_parts(parts)
    found = {}
    for row, part in zip(rows, parts, strict=True):
        for back in range(part.n_outputs):
            found[row - back] = context.likeliest(row - back)
            assert found[row - back] == int(context.logits(row=row - back)[0].argmax())
    assert len(set(found.values())) > 1
    context.decode([7], 1, seq_id=0)
    assert context.likeliest(-1) == int(context.logits()[0].argmax())
    greedy = Sampler(model, Sampling(temperature=0.0))
    assert greedy.sample(context) == context.likeliest(-1)
    greedy.close()


def test_what_changes_logits_is_not_passed_over(model: Model, context: Context) -> None:
    """At temperature 0, too, a bias and penalties count."""
    context.decode([5, 6, 7], 0)
    first = context.likeliest(-1)
    assert first is not None
    forbidden = Sampling(temperature=0.0, logit_bias=((first, -100.0),))
    sampler = Sampler(model, forbidden)
    assert sampler.sample(context) != first
    sampler.close()


def test_what_is_not_a_number_is_left_to_llama_cpp(model: Model, context: Context) -> None:
    """To numpy NaN is the largest, to llama.cpp it never is."""
    context.decode([5, 6, 7], 0)
    logits = context.logits()[0]
    logits[int(logits.argmax())] = np.nan
    assert context.likeliest(-1) is None
    sampler = Sampler(model, Sampling(temperature=0.0))
    assert sampler.sample(context) in range(model.n_vocab)
    sampler.close()
