from __future__ import annotations

from collections.abc import Iterator

import pytest

from longctx import LongContextLLM


@pytest.fixture(scope="session")
def demo_llm() -> Iterator[LongContextLLM]:
    """One demo model for every test that leaves it as it found it.

    With a thread count of its own: one that the clock chooses anew rounds otherwise.
    """
    with LongContextLLM(target_ctx=16_384, reserve_output=64, n_threads=2) as llm:
        yield llm
