"""From a prompt's token ids to a streamed answer: prefill, sample, stop."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native import Model, Sampler, SamplerParams
from longctx.cache import Session
from longctx.cache.likelihood import negative_log_likelihood
from longctx.errors import BackendError, ContextOverflowError
from longctx.tokens import TextStream
from longctx.types import (
    Chunk,
    ProgressCallback,
    SampledToken,
    Timings,
    TokenLogprob,
    Usage,
    WindowReport,
)


@dataclass(frozen=True)
class GenerationSettings:
    """How an answer is drawn and where it ends.

    Raises:
        BackendError: a value is out of its range.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, int):
            raise BackendError(f"max_tokens is {self.max_tokens!r}; use a whole number")
        if self.max_tokens < 1:
            raise BackendError(f"max_tokens is {self.max_tokens}; use 1 or more, or None")
        if not 0 <= self.temperature < float("inf"):
            raise BackendError(f"temperature is {self.temperature}; use 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise BackendError(f"top_p is {self.top_p}; use more than 0, at most 1")
        top = self.top_logprobs
        if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 0):
            raise BackendError(
                f"top_logprobs is {top!r}; use 0 (each token of the answer alone) or more, or None"
            )
        if not all(isinstance(text, str) and text for text in self.stop):
            raise BackendError("stop holds an empty or non-text entry; use non-empty strings")


@dataclass(frozen=True)
class Outcome:
    """What one answer was and cost."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[SampledToken, ...]
    finish_reason: Literal["stop", "length"]
    usage: Usage
    timings: Timings
    window: WindowReport


@dataclass
class StopWatcher:
    """Holds back text that may be the beginning of a stop string."""

    stops: tuple[str, ...]
    _held: str = field(default="", init=False)

    def push(self, text: str) -> tuple[str, bool]:
        """Take new text; return what may be shown now, and whether a stop string was reached."""
        self._held += text
        found = [i for i in (self._held.find(stop) for stop in self.stops) if i >= 0]
        if found:
            shown, self._held = self._held[: min(found)], ""
            return shown, True
        keep = max(
            (
                n
                for stop in self.stops
                for n in range(1, min(len(stop), len(self._held) + 1))
                if self._held.endswith(stop[:n])
            ),
            default=0,
        )
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown, False

    def flush(self) -> str:
        """Return what was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


@dataclass
class _Shown:
    """What was shown of an answer; the likelihood of a token goes with the text it begins."""

    pieces: list[str] = field(default_factory=list)
    logprobs: list[SampledToken] = field(default_factory=list)
    held: list[SampledToken] = field(default_factory=list)
    n_characters: int = 0

    def show(self, text: str) -> Chunk:
        """The next piece, with the tokens that begin in it or before."""
        self.pieces.append(text)
        self.n_characters += len(text)
        n = sum(token.offset < self.n_characters for token in self.held)
        return self._with_tokens(text, n)

    def end(self, text: str) -> Chunk:
        """The last piece, with all tokens that are left."""
        self.pieces.append(text)
        return self._with_tokens(text, len(self.held))

    def _with_tokens(self, text: str, n: int) -> Chunk:
        tokens, self.held = tuple(self.held[:n]), self.held[n:]
        self.logprobs += tokens
        return Chunk(text=text, logprobs=tokens)


def _sampled(
    model: Model, logits: NDArray[np.float32], token: int, n_top: int, offset: int
) -> SampledToken:
    """Say how likely a token was; ``logits`` is float32[1, n_vocab]."""
    row = logits[0]
    base = -negative_log_likelihood(logits, [token])[0] - row[token]
    n_top = min(n_top, len(row))
    best = np.argpartition(-row, n_top - 1)[:n_top] if n_top else np.empty(0, np.int64)
    best = best[np.argsort(-row[best], kind="stable")]
    return SampledToken(
        id=token,
        data=model.decode_bytes([token]),
        logprob=float(base + row[token]),
        offset=offset,
        top=tuple(
            TokenLogprob(
                id=int(i),
                data=model.decode_bytes([int(i)], special=True),
                logprob=float(base + row[i]),
            )
            for i in best
        ),
    )


def check_fit(n_prompt: int, max_tokens: int, n_ctx: int) -> None:
    """Refuse a prompt whose answer has no room, before any work.

    Raises:
        ContextOverflowError: ``n_prompt + max_tokens`` is more than ``n_ctx``.
    """
    if n_prompt + max_tokens <= n_ctx:
        return
    raise ContextOverflowError(
        f"the prompt is {n_prompt} tokens and its answer may take {max_tokens}, "
        f"{n_prompt + max_tokens} in all, but the window is {n_ctx}: "
        f"{n_prompt + max_tokens - n_ctx} too many. Shorten the prompt, lower max_tokens, "
        "or construct with a larger target_ctx. Nothing was cut.",
        needed=n_prompt + max_tokens,
        available=n_ctx,
        n_ctx=n_ctx,
    )


def generate(
    session: Session,
    model: Model,
    prompt: Sequence[int],
    settings: GenerationSettings,
    *,
    pinned: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Generator[Chunk, None, Outcome]:
    """Answer a prompt in a session, reusing what the session already holds.

    Args:
        session: what stands in the cache.
        model: draws the tokens.
        prompt: token ids.
        settings: how the answer is drawn.
        pinned: tokens at the front that a sliding window keeps.
        on_progress: called after each prefilled batch.

    Yields:
        Text, each piece valid UTF-8, and the likelihood of the tokens that it shows.

    Returns:
        The :class:`Outcome`, as the generator's value.
    """
    if not prompt:
        raise BackendError("the prompt is empty; give at least one character")
    started = time.monotonic()
    rescale_before, again_before = session.rescale_s, session.prefilled_again
    window_before, session.window.fallback = session.n_ctx, None
    matched = session.match(prompt)
    session.pin(pinned)
    # It grows when it must, and back when prompt and answer would do with less.
    session.shrink(session.n_tokens + len(prompt) - matched + settings.max_tokens)
    session.feed(prompt[matched:], on_progress=on_progress)
    prefilled_again = session.prefilled_again - again_before
    cached = max(0, min(matched, len(prompt) - 1) - prefilled_again)
    prefilled_at = time.monotonic()

    sampler = Sampler(
        model,
        SamplerParams(
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=random.getrandbits(32) if settings.seed is None else settings.seed & 0xFFFFFFFF,
            grammar=settings.grammar,
        ),
    )
    stream, watcher = TextStream(model), StopWatcher(settings.stop)
    ids: list[int] = []
    n_decoded = 0
    shown = _Shown()
    finish: Literal["stop", "length"] = "length"
    first_token_at: float | None = None
    stopped = False
    try:
        while len(ids) < settings.max_tokens:
            token = session.sample(sampler)
            first_token_at = first_token_at or time.monotonic()
            if model.is_end(token):
                finish = "stop"
                break
            ids.append(token)
            if settings.top_logprobs is not None:
                logits = session.next_logits()
                n_top = settings.top_logprobs
                shown.held.append(_sampled(model, logits, token, n_top, n_decoded))
            decoded = stream.feed([token])
            n_decoded += len(decoded)
            text, stopped = watcher.push(decoded)
            if text:
                yield shown.show(text)
            if stopped:
                finish = "stop"
                break
            if len(ids) < settings.max_tokens:
                session.advance(token)
    finally:
        sampler.close()
    if not stopped:
        rest = watcher.push(stream.flush())[0] + watcher.flush()
        if rest or shown.held:
            yield shown.end(rest)
    ended = time.monotonic()
    return Outcome(
        text="".join(shown.pieces),
        ids=tuple(ids),
        logprobs=tuple(shown.logprobs),
        finish_reason=finish,
        usage=Usage(
            prompt_tokens=len(prompt),
            cached_tokens=cached,
            prefilled_tokens=len(prompt) - cached,
            completion_tokens=len(ids),
        ),
        timings=Timings(
            prefill_s=prefilled_at - started,
            decode_s=ended - prefilled_at,
            ttft_s=(first_token_at or ended) - started,
            rescale_s=session.rescale_s - rescale_before,
        ),
        window=WindowReport(
            n_ctx=session.n_ctx,
            scale=session.scale,
            method=session.method,
            grew_from=window_before if session.n_ctx > window_before else None,
            dropped_tokens=session.dropped_tokens,
            method_changed=session.fallback,
        ),
    )
