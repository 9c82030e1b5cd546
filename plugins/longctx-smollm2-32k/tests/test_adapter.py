"""The adapter on the demo model: its plan, what it finds, and the README."""

from __future__ import annotations

from pathlib import Path

import pytest
from longctx_smollm2_32k import adapter
from pytest_examples import CodeExample, EvalExample, find_examples

from longctx import LongContextLLM, PlanError, demo_model, plan_context
from longctx.evaluate import recall
from longctx.packaged_model import fast_copy

README = Path(__file__).parents[1] / "README.md"


def test_a_plan_runs_the_map_that_it_was_trained_for() -> None:
    """Up to its window, and no farther."""
    plan = plan_context(demo_model(), 32_768, adapters=[adapter()], memory_limit="8GiB")
    assert (plan.method, plan.n_ctx) == ("self-extend", 32_768)
    with pytest.raises(PlanError):
        plan_context(demo_model(), 65_536, adapters=[adapter()], memory_limit="16GiB")
    with pytest.raises(PlanError, match="self-extend"):
        plan_context(demo_model(), 32_768, adapters=[adapter()], method="yarn")


def test_it_finds_what_the_model_alone_does_not() -> None:
    """Facts in a text, by half as many nats at most."""
    found = []
    for adapters in ([], [adapter()]):
        with LongContextLLM(
            fast_copy(demo_model()), 1536, adapters=adapters, reserve_output=16
        ) as llm:
            found.append(recall(llm, 1536, n_facts=8))
    without, with_it = found
    assert with_it.mean_nats < without.mean_nats / 2
    assert with_it.exact > without.exact


@pytest.mark.parametrize("example", list(find_examples(README)), ids=str)
def test_the_readme_runs(example: CodeExample, eval_example: EvalExample) -> None:
    """As it is printed."""
    if example.prefix == "py":
        eval_example.run(example)
