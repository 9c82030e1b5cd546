"""Texts prefilled alone, put together in one window."""

from __future__ import annotations

import numpy as np
import pytest

from longctx import BackendError, ContextOverflowError, RequestError
from tests.cache.test_session import IDS, keys, opened
from tests.conftest import TinyGguf

FIRST, SECOND, REST = IDS[:150], IDS[200:330], IDS[400:420]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "stablelm", "smollm3"])
def test_first_layer_keys_are_those_of_a_joint_prefill(
    tiny_gguf: TinyGguf, architecture: str
) -> None:
    """That layer sees only the token and its place, and both are right."""
    with opened(tiny_gguf(architecture, n_ctx_train=1024)) as llm:
        joint, one, two = (llm.session() for _ in range(3))
        joint.feed([*FIRST, *SECOND])
        one.feed(FIRST)
        two.feed(SECOND)
        one.attach(two)
        assert (one.tokens, one.prefilled_again) == (joint.tokens, 0)
        assert one.positions.tolist() == list(range(280))
        want = keys(joint, 0)
        np.testing.assert_allclose(keys(one, 0), want, atol=8e-3 * np.abs(want).max())
        assert two.tokens == tuple(SECOND)
        one.feed(REST)
        one.truncate(100)
        assert np.isfinite(one.next_nll(REST)).all()


def test_recomputing_all_of_it_is_a_joint_prefill(tiny_gguf: TinyGguf) -> None:
    """And recomputing more of it comes closer."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        joint = llm.session()
        joint.feed([*FIRST, *SECOND])
        expected = joint.next_nll(REST)
        errors = []
        for recompute in (0, 120, 500):
            one, two = llm.session(), llm.session()
            one.feed(FIRST)
            two.feed(SECOND)
            one.attach(two, recompute=recompute)
            assert one.tokens == joint.tokens
            errors.append(float(np.abs(one.next_nll(REST) - expected).max()))
            one.close()
            two.close()
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 1e-2


def test_windows_of_different_scale_and_compressed_ones(tiny_gguf: TinyGguf) -> None:
    """The keys are re-rotated from the one's RoPE to the other's; Self-Extend compresses after."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, method="ntk") as llm:
        one, two = llm.session(), llm.session()
        one.feed(IDS[:200])
        two.feed(IDS[200:400])
        one.attach(two)
        assert (one.n_ctx, one.rope.scale, two.rope.scale) == (512, 2, 1)
        assert one.tokens == tuple(IDS[:400])
        for _ in range(3):
            one.attach(two)
        with pytest.raises(ContextOverflowError):
            one.attach(two)
        assert one.n_tokens == 1000
    with opened(path, method="self-extend") as llm:
        one, two = llm.session(), llm.session()
        one.feed(IDS[:150])
        two.feed(IDS[150:300])
        one.attach(two)
        assert one.method == "self-extend"
        assert one.positions.max() < 192
        assert one.tokens == tuple(IDS[:300])
        one.feed(IDS[300:310])
        assert one.prefilled_again == 0
        with pytest.raises(BackendError, match="share positions"):
            two.attach(one)
        with pytest.raises(RequestError, match="recompute"):
            one.attach(two, recompute=-1)


def test_models_that_cannot_are_prefilled(tiny_gguf: TinyGguf) -> None:
    """The same tokens, and the reason."""
    with opened(tiny_gguf("gemma3", n_ctx_train=1024)) as llm:
        one, two = llm.session(), llm.session()
        one.feed(FIRST)
        two.feed(SECOND)
        one.attach(two)
        assert one.tokens == (*FIRST, *SECOND)
        assert one.prefilled_again == len(SECOND)
        assert "not attached" in str(one.fallback)
