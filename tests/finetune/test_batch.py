"""Sequences that go through the model together are what they are alone, in less memory and time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import Tensor

from longctx import ContextPlan, plan_context
from longctx._native import Model
from longctx.errors import RequestError
from longctx.finetune import lean
from longctx.finetune.batch import in_parts, packed
from longctx.finetune.lean import Parts, checkpoint_layers, fewer, made_lean, parts_for
from longctx.finetune.loading import load
from longctx.finetune.lora import matrices, with_lora
from longctx.finetune.mixture import Mixture, TrainingSequence
from longctx.finetune.recipe import Recipe
from longctx.finetune.steps import steps_from
from longctx.finetune.torch_model import TorchModel
from longctx.tokens import ModelTokenizer
from tests.finetune.small import MODEL, PROSE
from tests.support.thorough import quick, thorough

pytestmark = thorough

N = 128


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plan() -> ContextPlan:
    """Eight times the window, where keys move under a sequence."""
    return plan_context(MODEL, 4096, method="self-extend", window="elastic", reserve_output=0)


@pytest.fixture(scope="module")
def mixture(plan: ContextPlan) -> Iterator[Mixture]:
    """Practice and prose, some of it not moved and shorter."""
    recipe = Recipe(
        method="self-extend",
        target_ctx=4096,
        sequence_tokens=N,
        short_tokens=N // 2,
        step_tokens=4 * N,
        learning_rate=1e-3,
    )
    with closing(Model(MODEL, vocab_only=True)) as model:
        tokenizer = ModelTokenizer(model)
        yield Mixture(recipe, plan.self_extend, tokenizer.encode(PROSE), tokenizer, [0])


def taught(plan: ContextPlan, dtype: torch.dtype = torch.float32) -> TorchModel:
    """The small model, with matrices that do something."""
    model = load(plan.info, plan.rope)
    module = with_lora(model.module, rank=4, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in matrices(module).values():
            weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    if dtype == torch.bfloat16:
        made_lean(module)
    return TorchModel(module, model.inv_freq, dtype)


def gradient(model: TorchModel, sequences: list[TrainingSequence]) -> Tensor:
    """Of all matrices, one behind the other."""
    model.module.zero_grad()
    model.losses(packed(sequences)).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    grads = [weight.grad for weight in matrices(model.module).values()]
    return torch.cat([grad.flatten() for grad in grads if grad is not None])


def test_packed_sequences_are_what_they_are_alone(plan: ContextPlan, mixture: Mixture) -> None:
    """Whatever their lengths, and however their keys move: no sequence sees another."""
    sequences = [mixture.draw(np.random.default_rng(seed)) for seed in range(6)]
    assert len({len(each.ids) for each in sequences}) > 1
    assert max(len(each.placement.views) for each in sequences) > 1
    model = taught(plan)
    with torch.no_grad():
        together = model.losses(packed(sequences))
        alone = torch.cat([model.losses(packed([each])) for each in sequences])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)


def test_bfloat16_is_the_same_to_its_rounding(plan: ContextPlan, mixture: Mixture) -> None:
    """What is learnt points the same way."""
    sequences = mixture.step(np.random.default_rng(5))
    batch = packed(sequences)
    full, half = taught(plan), taught(plan, torch.bfloat16)
    with torch.no_grad():
        assert abs(float(full.losses(batch).mean() - half.losses(batch).mean())) < 0.02
    one, other = gradient(full, sequences), gradient(half, sequences)
    assert one.dtype == other.dtype == torch.float32
    assert float(torch.cosine_similarity(one, other, dim=0)) > 0.995


@pytest.mark.parametrize("dtype", quick([torch.float32, torch.bfloat16], torch.float32))
def test_layers_that_are_computed_twice(
    plan: ContextPlan, mixture: Mixture, dtype: torch.dtype
) -> None:
    """Have the same gradients, and keep a fraction of the memory."""
    sequences = mixture.step(np.random.default_rng(6))
    model = taught(plan, dtype)
    expected, many = gradient(model, sequences), lean.saved_bytes(lambda: lean.probe(model, 256))
    checkpoint_layers(model.module)
    found, few = gradient(model, sequences), lean.saved_bytes(lambda: lean.probe(model, 256))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert few < many / 4


def test_how_many_go_together_follows_from_memory(
    plan: ContextPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a step; fewer; one, whose layers are computed twice; none, which is refused."""
    model = taught(plan)

    def parts(free: int) -> tuple[int, bool]:
        monkeypatch.setattr(lean, "free_bytes", lambda device: free)
        found = parts_for(model, plan.info, 4096, 8192)
        return found.n_tokens, found.checkpointed

    assert parts(2**40) == (4096, False)
    assert parts(2**29)[1]
    assert parts(2**29)[0] >= 4096
    with pytest.raises(RequestError, match=r"a sequence of 4,096 tokens takes .* shorter ones"):
        parts(2**20)


def test_what_did_not_fit_is_made_smaller() -> None:
    """By halves down to one sequence, then by computing twice; then it is said."""
    parts, seen = Parts(n_tokens=1000, checkpointed=False), []
    for _ in range(3):
        parts = fewer(parts, 300)
        seen.append((parts.n_tokens, parts.checkpointed))
    assert seen == [(500, False), (300, False), (300, True)]
    with pytest.raises(RequestError, match="memory does not suffice for a sequence of 300"):
        fewer(parts, 300)


def test_parts_keep_order_and_take_long_sequences_alone(mixture: Mixture) -> None:
    """No part is over the limit but one of a single sequence."""
    sequences = [mixture.draw(np.random.default_rng(seed)) for seed in range(20)]
    parts = list(in_parts(sequences, 100))
    assert [each for part in parts for each in part] == sequences
    assert all(len(part) == 1 or sum(len(each.ids) for each in part) <= 100 for part in parts)
    assert any(len(part) > 1 for part in in_parts(sequences, 4 * N))


def test_steps_are_drawn_ahead_by_their_number(mixture: Mixture) -> None:
    """So a run that goes on sees what it would have seen; and no thread stays."""
    with closing(steps_from(0, mixture, 7, N)) as steps:
        first = [next(steps) for _ in range(4)]
    with closing(steps_from(3, mixture, 7, N)) as steps:
        again = next(steps)
    assert [batch.ids.tolist() for batch in first[3].batches] == [
        batch.ids.tolist() for batch in again.batches
    ]
    assert all(step.n_tokens >= 4 * N for step in first)
    assert not [each for each in threading.enumerate() if each.name.startswith("longctx-steps")]
