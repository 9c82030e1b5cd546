"""Measures that mean something: short runs on the packaged model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.evaluate import needle, passkey, perplexity, python_reference, recall, ruler
from tests.support.thorough import thorough

pytestmark = thorough


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """SmolLM2-135M in a window of 1,024 of its 8,192 tokens."""
    with LongContextLLM(None, 1024, reserve_output=16) as llm:
        yield llm


def test_it_reads_english_better_than_noise(llm: LongContextLLM) -> None:
    """Perplexity of the reference is that of a language model; of its shuffled words it is not."""
    words = python_reference()[:20_000].split()
    np.random.default_rng(0).shuffle(words)
    reads = perplexity(llm, 512, marks=[512], stride=128)
    stumbles = perplexity(llm, 512, marks=[512], stride=128, text=" ".join(words))
    assert 2 < reads.perplexity < 60
    assert stumbles.perplexity > 3 * reads.perplexity


def test_it_recalls_facts_far_better_than_chance(llm: LongContextLLM) -> None:
    """Eight facts in 1,000 tokens: well below chance at each, and some written out exactly."""
    result = recall(llm, 1000, n_facts=8)
    assert result.chance_nats == pytest.approx(2.3026, abs=1e-3)
    assert result.mean_nats < 1.2
    assert sum(fact.nats < result.chance_nats for fact in result.facts) >= 7
    assert 0.2 < result.exact <= 1
    assert result.exact == sum(fact.exact for fact in result.facts) / 8
    certain = [fact for fact in result.facts if fact.nats < 0.1]
    assert all(fact.exact for fact in certain)


def test_it_finds_pass_keys(llm: LongContextLLM) -> None:
    """At 512 tokens nearly every key, wherever it stands."""
    result = passkey(llm, [512], depths=(0.1, 0.9), trials=2)
    assert result.accuracy >= 0.75
    assert result.low <= result.accuracy <= result.high


def test_it_finds_needles_and_ruler_agrees(llm: LongContextLLM) -> None:
    """One sentence in 512 tokens of prose, by both tests' templates."""
    assert needle(llm, [512], depths=(0.5,), trials=2).accuracy >= 0.5
    result = ruler(llm, [512], tasks=["niah_single"], samples=2, threshold=50)
    assert result.mean(512) >= 50
    assert result.effective_window == 512
