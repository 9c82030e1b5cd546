"""Answers that say the same over and over end, and texts that people write do not."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import longctx
from longctx import LongContextLLM
from longctx._native import Model
from longctx.engine.repetition import MAX_PERIOD, MIN_REPEATS, MIN_TOKENS, Repetition
from tests.models import TINY


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """With room for a repetition."""
    with LongContextLLM(TINY, 2048, reserve_output=600, n_threads=1) as llm:
        yield llm


def _ends(tokens: list[int], **thresholds: int) -> int | None:
    """After how many tokens it is told, if ever."""
    watch = Repetition(**thresholds)
    return next((n for n, token in enumerate(tokens, start=1) if watch.take(token)), None)


@pytest.mark.parametrize("period", [1, 2, 3, 7, 60, 64, 65, 100, 255, MAX_PERIOD])
@pytest.mark.parametrize("before", [0, 5, 1000])
def test_it_is_told_at_its_exact_length(period: int, before: int) -> None:
    """Of the tokens and of the repeats, whichever comes last; not one too early."""
    text = [*range(10_000, 10_000 + before), *list(range(period)) * 1000]
    assert _ends(text) == before + max(MIN_TOKENS, MIN_REPEATS * period)


@given(
    parts=st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 9)),
        max_size=12,
    ),
    min_tokens=st.integers(2, 40),
    min_repeats=st.integers(2, 5),
)
def test_as_by_its_definition(
    parts: list[tuple[list[int], int]], min_tokens: int, min_repeats: int
) -> None:
    """The first token behind which so much of the text, to its end, has some period."""
    text = [token for period, times in parts for token in period * times]

    def repeats(n: int, period: int) -> bool:
        length = max(min_tokens, min_repeats * period)
        end = text[n - length : n] if length <= n else []
        return bool(end) and end[period:] == end[:-period]

    told = (n for n in range(len(text) + 1) if any(repeats(n, p) for p in range(1, MAX_PERIOD)))
    assert _ends(text, min_tokens=min_tokens, min_repeats=min_repeats) == next(told, None)


def test_what_changes_is_no_repetition() -> None:
    """Numbered lines, a period that is longer than what is watched, and one that ends in time."""
    lines = [token for n in range(1000) for token in (1, 2, 3, 100 + n, 4)]
    assert _ends(lines) is None
    assert _ends(list(range(MAX_PERIOD + 1)) * 20) is None
    almost = list(range(7)) * 100
    assert _ends([*almost[: MIN_TOKENS - 1], 99, *almost[: MIN_TOKENS - 1]]) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" + ", ".join(["0"] * 100) + "]",
        "ha " * 60,
        "| a | b | c |\n|---|---|---|\n" + "| 0 | 0 | 0 |\n" * 12,
        "Row, row, row your boat,\nGently down the stream.\n" * 5,
        "=" * 300,
        "x" + " " * 300,
        "0,0,0,0,1\n" * 30,
    ],
)
def test_what_people_write_is_none(text: str) -> None:
    """Lists of zeros, laughter, tables, refrains, rules."""
    assert _ends(Model(TINY, vocab_only=True).encode(text)) is None


def test_documentation_and_code_are_none() -> None:
    """Much of Python's help, which has tables, and some of our own sources."""
    model = Model(TINY, vocab_only=True)
    topics = list(pydoc_data.topics.topics.values())[::3]
    sources = sorted(Path(longctx.__file__).parent.rglob("*.py"))[::20]
    for text in (*topics, *(path.read_text() for path in sources)):
        assert _ends(model.encode(text)) is None


def test_a_loop_ends_the_answer(llm: LongContextLLM) -> None:
    """With OpenAI's "length", and why beside it; streamed, by drafts, and switched off."""
    loop: Any = {"logit_bias": {" the": 100}, "max_tokens": 600}
    cut = llm.generate("One", **loop)
    assert (cut.finish_reason, cut.finish_detail) == ("length", "repetition")
    assert cut.usage.completion_tokens == MIN_TOKENS
    assert llm.generate("One", prompt_lookup=True, **loop).text == cut.text
    with llm.stream("One", **loop) as stream:
        assert "".join(chunk.text for chunk in stream) == cut.text
    whole = llm.generate("One", stop_on_repetition=False, **loop)
    assert (whole.finish_reason, whole.finish_detail) == ("length", None)
    assert whole.usage.completion_tokens == 600
    short = llm.generate("One", **{**loop, "max_tokens": MIN_TOKENS})
    assert (short.finish_reason, short.finish_detail) == ("length", None)


def test_an_answer_held_to_a_schema_may_repeat(llm: LongContextLLM) -> None:
    """Five hundred equal values are what was asked for."""
    schema = {"type": "array", "items": {"enum": [0]}, "minItems": 250, "maxItems": 250}
    answer = llm.generate("Zeros:", max_tokens=1500, response_schema=schema)
    assert answer.finish_detail is None
    assert answer.finish_reason == "stop"
