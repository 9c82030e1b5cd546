"""Values at the edges of what llama.cpp's 32 bits hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.chat import Expected
from longctx.engine import GenerationSettings
from longctx.local.settings import settings_of
from longctx.sampling import Sampling
from tests.arguments.conftest import TINY

ASKED: Any = [{"role": "user", "content": "Hi"}]
PROMPT = "The function returns"
SCHEMA: Any = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 3, "maxItems": 3}
COLD = (5e-324, 1e-300, 1e-45, 1.1e-38, 1.2e-38, 1e-37, 1e-30, 1e-20, 9e-6, np.float16(6e-8))


@pytest.mark.parametrize("temperature", COLD)
def test_a_temperature_too_small_for_float32_is_greedy(
    llm: LongContextLLM, temperature: float
) -> None:
    """Logits divided by it are infinite, and what is drawn from such a softmax is nothing."""
    greedy = llm.generate(PROMPT, max_tokens=12).text
    for seed in (0, 1):
        found = llm.generate(PROMPT, max_tokens=12, temperature=temperature, seed=seed, top_p=0.5)
        assert found.text == greedy


@pytest.mark.parametrize("temperature", [1e-5, 1.1e-5, 1e-4, 1e-3])
def test_the_smallest_that_are_drawn_from_are_nearly_greedy(
    llm: LongContextLLM, temperature: float
) -> None:
    """No step between the two."""
    greedy = llm.generate(PROMPT, max_tokens=12).text
    assert llm.generate(PROMPT, max_tokens=12, temperature=temperature, seed=3).text == greedy


@pytest.mark.parametrize("temperature", [5e-324, 1.2e-38, 1e-5, 1.0, 100])
@pytest.mark.parametrize("top_p", [5e-324, 1e-30, 0.5, 1.0])
def test_a_grammar_holds_at_every_temperature(
    llm: LongContextLLM, temperature: float, top_p: float
) -> None:
    """Whatever the logits come to, what is drawn is one of the tokens that may be."""
    for seed in range(3):
        found = llm.generate(
            PROMPT, max_tokens=60, temperature=temperature, top_p=top_p, seed=seed,
            response_schema=SCHEMA,
        )  # fmt: skip
        assert set(json.loads(found.text)) <= {"a", "b"}


@pytest.mark.parametrize("seed", [0, -1, 4294967294, 4294967295, 4294967296, -(2**63), 2**64 - 1])
def test_every_seed_repeats(seed: int) -> None:
    """llama.cpp draws one of its own for 4294967295, which -1 is to it."""
    options: Any = {"max_tokens": 24, "temperature": 2.0, "seed": seed}
    # In a cache of its own: where a text stands among others changes how sums are rounded.
    with LongContextLLM(TINY, 512, n_threads=1) as llm:
        texts = {llm.generate(PROMPT, **options).text for _ in range(4)}
    assert len(texts) == 1


def test_no_seed_does_not_repeat(llm: LongContextLLM) -> None:
    """Each call draws one."""
    options: Any = {"max_tokens": 24, "temperature": 2.0}
    assert len({llm.generate(PROMPT, **options).text for _ in range(4)}) > 1


def test_what_llama_cpp_is_given(llm: LongContextLLM) -> None:
    """Settings have the values that it takes."""
    given: Any = {"max_tokens": np.int64(3), "temperature": None, "seed": -1}
    given |= {"top_p": np.float32(1), "stop": "x"}
    settings = settings_of(given, llm.plan, llm.prompt(ASKED), None, Expected(), llm.engine.model)
    assert settings == GenerationSettings(3, Sampling(seed=2**32 - 2), ("x",))
    assert type(settings.max_tokens) is int
