"""How far apart two ways to compute the same may lie, and what is the same answer nevertheless."""

from __future__ import annotations

import functools

import pytest

from longctx import Completion
from longctx._native import list_devices

BATCH_NATS = 0.3
"""Nats by which a batch's size moves the logprobs of the small model in f16; seen: 0.05."""


@functools.cache
def coarser() -> float:
    """How much further apart a GPU's sums may lie: CUDA multiplies float32 in TF32, of 10 bits.

    Seen on one: 5 times what a processor's tests allow, for likelihoods of adapters and of merged
    weights.
    """
    return 8.0 if any(device.kind != "processor" for device in list_devices()) else 1.0


def agree(one: Completion, other: Completion, nats: float = BATCH_NATS) -> None:
    """The same tokens, as likely; or the first that differs was as good as the other.

    Both need ``top_logprobs=2``.
    """
    for a, b in zip(one.logprobs, other.logprobs, strict=False):
        if a.id != b.id:
            assert abs(a.top[0].logprob - a.top[1].logprob) < nats
            return
        assert a.logprob == pytest.approx(b.logprob, abs=nats)
    assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
    assert one.usage.completion_tokens == other.usage.completion_tokens
