"""How likely the tokens of an answer were, against the logits themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM, RequestError
from longctx.types import Completion
from tests.conftest import TinyGguf

PROMPT = "The tokens of this answer"


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise; f16 keys read back from a cache move a logprob by some thousandths."""
    with LongContextLLM(tiny_gguf(), 1024, reserve_output=16, n_threads=1) as llm:
        yield llm


def _scored(llm: LongContextLLM, answer: Completion) -> list[float]:
    """The same tokens, scored in one batch."""
    prompt, answered = llm.tokenize(PROMPT), [token.id for token in answer.logprobs]
    nll = llm.score([*prompt, *answered])
    return [float(-value) for value in nll[len(prompt) - 1 :]]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_they_are_those_of_score(llm: LongContextLLM, temperature: float) -> None:
    """Whatever the temperature: the model's own distribution, not the one sampled from."""
    answer = llm.generate(PROMPT, max_tokens=12, temperature=temperature, seed=3, top_logprobs=0)
    assert len(answer.logprobs) == answer.usage.completion_tokens
    assert all(token.top == () for token in answer.logprobs)
    assert [t.logprob for t in answer.logprobs] == pytest.approx(_scored(llm, answer), abs=5e-3)


def test_the_most_likely_are_found(llm: LongContextLLM) -> None:
    """Every token of the vocabulary scored one by one; greedy takes the first."""
    answer = llm.generate(PROMPT, max_tokens=3, top_logprobs=5)
    with_end = llm.session()
    with_end.feed(PROMPT)
    n_vocab = llm.engine.model.n_vocab
    first = answer.logprobs[0]
    all_of_them = np.array([-with_end.next_nll([i])[0] for i in range(n_vocab)])
    with_end.close()
    best = np.sort(all_of_them)[::-1][:5]
    assert [t.logprob for t in first.top] == pytest.approx(best.tolist(), abs=5e-3)
    assert [t.logprob for t in first.top] == pytest.approx(
        [all_of_them[t.id] for t in first.top], abs=5e-3
    )
    for token in answer.logprobs:
        assert (token.id, token.logprob) == (token.top[0].id, token.top[0].logprob)


def test_all_of_them_sum_to_one(llm: LongContextLLM) -> None:
    """More than there are is all there are."""
    answer = llm.generate(PROMPT, max_tokens=1, top_logprobs=10**6)
    (token,) = answer.logprobs
    assert len({t.id for t in token.top}) == llm.engine.model.n_vocab
    assert sum(math.exp(t.logprob) for t in token.top) == pytest.approx(1, abs=1e-4)


def test_a_grammar_does_not_change_them(llm: LongContextLLM) -> None:
    """What it forbids stays as likely as the model thinks; what it forces may be unlikely."""
    answer = llm.generate(PROMPT, max_tokens=8, response_schema={"const": True}, top_logprobs=1)
    assert answer.text.strip() == "true"
    assert [t.logprob for t in answer.logprobs] == pytest.approx(_scored(llm, answer), abs=5e-3)
    assert any(token.id != token.top[0].id for token in answer.logprobs)


def test_chunks_carry_the_tokens_of_their_text(llm: LongContextLLM) -> None:
    """Joined they are the completion's; offsets count characters, bytes join to the text."""
    *chunks, last = llm.stream(PROMPT, max_tokens=40, temperature=1.0, seed=1, top_logprobs=2)
    assert last.result is not None
    tokens = last.result.logprobs
    assert tuple(t for chunk in chunks for t in chunk.logprobs) == tokens
    assert len(tokens) == last.result.usage.completion_tokens
    assert b"".join(t.data for t in tokens).decode("utf-8", "replace") == last.result.text
    n_shown = 0
    for chunk in chunks:
        assert all(n_shown <= t.offset <= n_shown + len(chunk.text) for t in chunk.logprobs)
        n_shown += len(chunk.text)
    assert [t.offset for t in tokens] == sorted(t.offset for t in tokens)


def test_a_stop_string_takes_its_tokens_along(llm: LongContextLLM) -> None:
    """Tokens that begin behind the shown text are not told of."""
    whole = llm.generate(PROMPT, max_tokens=20, top_logprobs=0)
    at = whole.logprobs[6].offset
    stop = whole.text[at : at + 4]
    answer = llm.generate(PROMPT, max_tokens=20, stop=stop, top_logprobs=0)
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert [t.id for t in answer.logprobs] == [
        t.id for t in whole.logprobs if t.offset < len(answer.text)
    ]
    assert 0 < len(answer.logprobs) < answer.usage.completion_tokens


def test_they_survive_json(llm: LongContextLLM) -> None:
    """Bytes that are half a character too."""
    answer = llm.generate(PROMPT, max_tokens=4, top_logprobs=300)
    assert Completion.model_validate_json(answer.model_dump_json()) == answer


def test_nobody_asked(llm: LongContextLLM) -> None:
    """Then none are computed."""
    assert llm.generate(PROMPT, max_tokens=2).logprobs == ()


@pytest.mark.parametrize("top", [-1, True, 1.5, "3"])
def test_nonsense_is_refused(llm: LongContextLLM, top: Any) -> None:
    """Before any work."""
    with pytest.raises(RequestError, match="top_logprobs"):
        llm.generate(PROMPT, max_tokens=2, top_logprobs=top)
