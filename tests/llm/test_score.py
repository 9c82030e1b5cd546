"""Likelihoods, against llama-cpp-python's own class."""

from __future__ import annotations

import numpy as np
import pytest

from longctx import ContextOverflowError, LongContextLLM, RequestError

TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 8


def test_scores_equal_those_of_llama_cpp(demo_llm: LongContextLLM) -> None:
    """Our batched scores against log-softmax of Llama's logits (another code path, f32)."""
    from llama_cpp import Llama

    ids = demo_llm.tokenize(TEXT)
    ours = demo_llm.score(ids, batch=64)
    llama = Llama(str(demo_llm.info.path), n_ctx=512, logits_all=True, verbose=False)
    llama.eval(ids)
    logits = np.array(llama.scores[: len(ids) - 1], dtype=np.float64)
    peak = logits.max(axis=1)
    norm = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
    theirs = norm - logits[np.arange(len(ids) - 1), ids[1:]]
    assert ours.shape == (len(ids) - 1,)
    assert ours.dtype == np.float32
    # Q8_0 quantises activations, and other batch sizes take other kernels: single tokens
    # differ by tenths of a nat. A shift by one token would differ by several.
    assert abs(ours.mean() - theirs.mean()) < 0.01
    assert np.median(np.abs(ours - theirs)) < 0.02
    assert np.abs(ours - theirs).max() < 1


def test_a_scored_text_stays_in_the_cache(demo_llm: LongContextLLM) -> None:
    """A prompt that begins with the scored tokens does not prefill them again."""
    demo_llm.score(TEXT)
    result = demo_llm.generate(TEXT + "Then", max_tokens=4)
    assert result.usage.cached_tokens >= demo_llm.count(TEXT) - 2
    assert result.usage.prefilled_tokens < 5


def test_next_nll_keeps_nothing_and_agrees_with_score(demo_llm: LongContextLLM) -> None:
    """Scoring a continuation from a session equals scoring the whole."""
    ids = demo_llm.tokenize(TEXT)
    session = demo_llm.session()
    session.feed(ids[:100])
    scored = session.next_nll(ids[100:140])
    assert session.n_tokens == 100
    np.testing.assert_allclose(scored, demo_llm.score(ids)[99:139], atol=0.5)
    again = session.next_nll(ids[100:140])
    np.testing.assert_allclose(again, scored, atol=0.5)
    session.close()


def test_too_short_and_too_long(demo_llm: LongContextLLM) -> None:
    """One token predicts nothing; one too many does not fit."""
    with pytest.raises(RequestError, match="at least 2"):
        demo_llm.score([5])
    with pytest.raises(ContextOverflowError):
        demo_llm.score([5] * (demo_llm.target_ctx + 1))
    with pytest.raises(RequestError, match="vocabulary"):
        demo_llm.score([5, 10**6])
