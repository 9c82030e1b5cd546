"""A bound on the KV cache: fewer bits, then compression, and a plan that says so."""

from __future__ import annotations

from typing import Any

import pytest

from longctx import LongContextLLM, ModelInfo, PlanError, demo_model, plan_context
from longctx.planner import ContextPlan, kv_cache_bytes
from tests.conftest import TinyGguf
from tests.models import TINY


@pytest.fixture(scope="module")
def smollm() -> ModelInfo:
    """SmolLM2: 16,384 tokens take 360 MiB in f16 and 191 in q8_0."""
    return ModelInfo.from_gguf(demo_model())


def plan(info: ModelInfo, budget: Any, **options: Any) -> ContextPlan:
    """A window of twice the trained one, within a budget."""
    return plan_context(info, 16_384, kv_budget=budget, memory_limit="8GiB", **options)


@pytest.mark.parametrize(
    ("budget", "kv", "overflow"),
    [
        ("1GiB", "f16", "error"),
        ("360MiB", "f16", "error"),
        ("359MiB", "q8_0", "error"),
        ("120MiB", "q8_0", "compress"),
        (40 * 2**20, "q8_0", "compress"),
    ],
)
def test_bits_go_first_and_then_tokens(
    smollm: ModelInfo, budget: Any, kv: str, overflow: str
) -> None:
    """The cache stays within the budget, and another 256 cells would not."""
    found = plan(smollm, budget)
    assert (found.kv_type_k, found.overflow) == (kv, overflow)
    bound = budget if isinstance(budget, int) else int(budget[:-3]) * 2**20
    if budget == "1GiB":
        bound = 2**30
    assert kv_cache_bytes(smollm, found.n_ctx, found.kv_type_k) <= bound
    if found.n_ctx < 16_384:
        assert kv_cache_bytes(smollm, found.n_ctx + 256, found.kv_type_k) > bound
        said = next(reason for reason in found.reasons if "tokens at a time" in reason)
        assert f"{found.n_ctx:,} of 16,384" in said
        assert f"From {found.n_ctx:,} tokens on the oldest are compressed" in said


def test_what_was_asked_for_stays(smollm: ModelInfo) -> None:
    """The type of the cache, and sliding."""
    found = plan(smollm, "120MiB", kv_type="f16")
    assert (found.kv_type_k, found.overflow) == ("f16", "compress")
    assert found.n_ctx < plan(smollm, "120MiB").n_ctx
    assert plan(smollm, "120MiB", overflow="slide").overflow == "slide"
    assert plan(smollm, None) == plan_context(smollm, 16_384, memory_limit="8GiB")


@pytest.mark.parametrize("budget", [0, -1, "much", True, 1.5, "0GiB"])
def test_nonsense_is_refused(smollm: ModelInfo, budget: Any) -> None:
    """With what to give."""
    with pytest.raises(PlanError, match=r"kv_budget is .*; give bytes"):
        plan(smollm, budget)


def test_too_little_is_refused(smollm: ModelInfo) -> None:
    """With how much would do; that much does."""
    with pytest.raises(PlanError, match="give at least 18MiB"):
        plan(smollm, "1MiB")
    found = plan(smollm, "18MiB")
    assert (found.overflow, found.n_keep) == ("compress", 4)


def test_a_model_that_cannot_compress_is_told_how_many_tokens_fit(tiny_gguf: TinyGguf) -> None:
    """Gemma's sliding layers bear it badly; that many tokens are a plan."""
    info = ModelInfo.from_gguf(tiny_gguf("gemma3", n_ctx_train=8192))
    budget = kv_cache_bytes(info, 8192, "f16") // 2
    with pytest.raises(PlanError, match="cannot be compressed: its sliding-window") as caught:
        plan_context(info, 8192, kv_budget=budget, kv_type="f16")
    n_ctx = int(str(caught.value).split("Ask for ")[1].split(" tokens")[0].replace(",", ""))
    assert plan_context(info, n_ctx, kv_budget=budget, kv_type="f16").n_ctx == n_ctx


def test_memory_may_still_ask_for_fewer_bits(smollm: ModelInfo) -> None:
    """A budget that is no bound is none."""
    limit = plan_context(smollm, 16_384, memory_limit="8GiB").memory.total_bytes - 100 * 2**20
    for budget in (None, "10GiB"):
        found = plan_context(smollm, 16_384, kv_budget=budget, memory_limit=limit)
        assert found.kv_type_k == "q8_0"


def test_what_is_allocated_is_what_counts(smollm: ModelInfo) -> None:
    """Whole blocks of cells, and the batches that sliding layers hold beside their window."""
    size = kv_cache_bytes(smollm, 8001, "f16")
    found = plan_context(smollm, 8001, kv_budget=size, kv_type="f16")
    assert found.memory.kv_bytes <= size
    assert found.n_ctx < 8001


def test_the_sinks_are_counted_before(smollm: ModelInfo) -> None:
    """What is refused without a budget is refused with one."""
    budget = kv_cache_bytes(smollm, 1280, "f16")
    with pytest.raises(PlanError, match="attention sinks"):
        plan_context(smollm, 4096, kv_budget=budget, kv_type="f16", reserve_output=1279)
    found = plan_context(smollm, 4096, kv_budget=budget, kv_type="f16", n_keep=0, reserve_output=64)
    assert (found.n_keep, found.overflow) == (0, "compress")


def test_a_text_longer_than_the_budget_is_read() -> None:
    """On a real model: compressed, and nothing was dropped whole."""
    with LongContextLLM(TINY, 2048, kv_budget="1MiB", kv_type="f16", reserve_output=16) as llm:
        assert llm.plan.n_ctx < 1024
        answer = llm.generate("The cat sat. " * 400, max_tokens=4)
    assert answer.usage.prompt_tokens > 1024
    assert answer.window.compressed_tokens > 0
    assert answer.window.dropped_tokens == 0


def test_a_budget_is_of_all_conversations(smollm: ModelInfo) -> None:
    """It bounds what all their caches take together, however much memory there is; without one the
    limit does."""
    free, bound = (
        plan_context(smollm, 4096, kv_type="f16", kv_budget=budget, memory_limit="64GiB").memory
        for budget in (None, "200MiB")
    )
    assert free.spare_bytes > 8 * free.text_bytes
    n_texts = bound.spare_bytes / bound.text_bytes
    assert n_texts * bound.kv_bytes <= 200 * 2**20 < (n_texts + 0.01) * bound.kv_bytes
    tight = plan_context(smollm, 16_384, kv_budget="120MiB", memory_limit="64GiB").memory
    assert tight.kv_bytes <= 120 * 2**20
    assert tight.spare_bytes < 1.1 * tight.text_bytes
