"""Greedy decoding by hand, in a session that keeps nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longctx._native import Sampler, SamplerParams

if TYPE_CHECKING:
    from longctx.cache import Session
    from longctx.llm import LongContextLLM


def greedy_continuation(llm: LongContextLLM, session: Session, n_tokens: int) -> list[int]:
    """The ``n_tokens`` most likely next tokens, one after the other; the session is as before."""
    n = session.n_tokens
    sampler = Sampler(llm._backend.model, SamplerParams(temperature=0))
    ids: list[int] = []
    try:
        while True:
            ids.append(session.sample(sampler))
            if len(ids) == n_tokens:
                return ids
            session.advance(ids[-1])
    finally:
        sampler.close()
        session.truncate(n)
