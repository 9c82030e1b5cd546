"""The packaged model from file to answer, each step timed; well under a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import exp
from typing import TYPE_CHECKING

from longctx.doctor.report import Check
from longctx.errors import LongCtxError, MissingExtraError

# What is run is imported where it runs: llama.cpp itself may be what does not work.
if TYPE_CHECKING:
    from pathlib import Path

    from longctx.cache import Session
    from longctx.llm import LongContextLLM

_PREFILLED, _SCORED = 512, 256
_STRETCH = 1.5  # the window grows to so many trained ones
_WORSE = 1.25  # a perplexity so many times higher after growing is no noise
_ANSWER_TOKENS = 32
_QUESTION, _ANSWER = "What is the capital of France?", "Paris"
_SYSTEM = "You answer in one sentence."  # without it the small model answers in French


class _WrongError(LongCtxError):
    """A step ran to its end, and what came of it is wrong."""


def self_test(gguf: Path | None = None) -> Iterator[Check]:
    """Yield each step when it is done; what follows one that failed is skipped.

    Args:
        gguf: a chat model with RoPE; None is the packaged one.
    """
    with ExitStack() as open_until_the_end:
        run = _Run(gguf, open_until_the_end)
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("model", run.find),
            ("load", run.load),
            ("prefill", run.prefill),
            ("re-rotate", run.rotate),
            ("grow", run.grow),
            ("answer", run.answer),
        )
        stopped_at = None
        for name, step in steps:
            if stopped_at is not None:
                detail = f"“{stopped_at}” must work first"
                yield Check(name=name, status="skipped", detail=detail)
                continue
            started = time.monotonic()
            check = _tried(name, step)
            if check.status != "ok":
                stopped_at = name
            yield check.model_copy(update={"seconds": time.monotonic() - started})


def _tried(name: str, step: Callable[[], str]) -> Check:
    try:
        return Check(name=name, status="ok", detail=step())
    except MissingExtraError as error:
        return Check(name=name, status="skipped", detail=str(error))
    except _WrongError as error:
        return Check(name=name, status="failed", detail=str(error))
    except Exception as error:  # the doctor tells of every failure, and never has one
        return Check(name=name, status="failed", detail=f"{type(error).__name__}: {error}")


class _Run:
    """What the steps hand on to each other."""

    def __init__(self, gguf: Path | None, stack: ExitStack) -> None:
        self._gguf, self._stack = gguf, stack
        self._llm: LongContextLLM
        self._session: Session
        self._ids: list[int]

    def find(self) -> str:
        from longctx.packaged_model import demo_model, fast_copy

        self._gguf = self._gguf or fast_copy(demo_model())
        return str(self._gguf)

    def load(self) -> str:
        from longctx.llm import LongContextLLM
        from longctx.model_info import ModelInfo

        info = ModelInfo.from_gguf(str(self._gguf))
        target = int(info.n_ctx_train * _STRETCH)
        self._llm = LongContextLLM(self._gguf, target, method="ntk", reserve_output=_ANSWER_TOKENS)
        self._stack.callback(self._llm.close)
        return f"{info.name}, {self._llm.plan.memory} for {self._llm.target_ctx:,} tokens"

    def prefill(self) -> str:
        from longctx.evaluate import python_reference

        n_tokens = _PREFILLED + _SCORED
        self._ids = self._llm.tokenize(python_reference()[: n_tokens * 8])[:n_tokens]
        self._session = self._llm.session()
        started = time.monotonic()
        self._session.feed(self._ids[:_PREFILLED])
        speed = _PREFILLED / (time.monotonic() - started)
        return f"{_PREFILLED} tokens at {speed:,.0f} tokens/s"

    def rotate(self) -> str:
        from longctx.backends import LlamaCppBackend
        from longctx.cache import KeyRotator

        plan = self._llm.plan
        backend = LlamaCppBackend(self._llm.info, plan)
        try:
            obstacle = KeyRotator(backend).obstacle(plan.rope_at(plan.first_window), plan.rope)
        finally:
            backend.close()
        if obstacle is not None:
            raise _WrongError(f"growing needs a second prefill with this llama.cpp: {obstacle}")
        return "keys re-rotated by longctx are those that llama.cpp computes, in every layer"

    def grow(self) -> str:
        session, before = self._session, self._perplexity()
        n_ctx = session.n_ctx
        session.grow(self._llm.target_ctx)
        if session.fallback is not None:
            raise _WrongError(session.fallback)
        after = self._perplexity()
        if after > before * _WORSE:
            raise _WrongError(
                f"perplexity went from {before:.1f} to {after:.1f} when the window grew from "
                f"{n_ctx:,} to {session.n_ctx:,} tokens; a few per cent are usual"
            )
        return f"{n_ctx:,} to {session.n_ctx:,} tokens, perplexity {before:.1f} to {after:.1f}"

    def answer(self) -> str:
        messages = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": _QUESTION},
        ]
        said = self._llm.chat(messages, max_tokens=_ANSWER_TOKENS).text
        if _ANSWER not in said:
            raise _WrongError(f"asked “{_QUESTION}” it said {said!r}")
        return said

    def _perplexity(self) -> float:
        return exp(float(self._session.next_nll(self._ids[_PREFILLED:]).mean()))
