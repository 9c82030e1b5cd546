"""From a prompt's token ids to its answer: prefill, sample, stop."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx import arguments
from longctx._native import Model, Sampler, SamplerParams
from longctx.cache import Session, SideBySide, advance_each
from longctx.cache.likelihood import negative_log_likelihood
from longctx.errors import ContextOverflowError, RequestError
from longctx.progress import Meter
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

    Takes what a caller passes (None is a default) and keeps what llama.cpp takes.

    Raises:
        RequestError: a value is none of its kind, or out of its range.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "temperature", "top_p", "seed", "top_logprobs"):
            object.__setattr__(self, name, getattr(arguments, name)(getattr(self, name)))
        object.__setattr__(self, "stop", arguments.stop_strings(self.stop))


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


def check_fit(n_prompt: int, max_tokens: int, n_ctx: int, n_added: int = 0) -> None:
    """Refuse a prompt whose answer has no room, before any work.

    Args:
        n_prompt: tokens of the prompt.
        max_tokens: of its answer.
        n_ctx: of the window.
        n_added: of the prompt's, those that the model puts around a text, for the message.

    Raises:
        ContextOverflowError: ``n_prompt + max_tokens`` is more than ``n_ctx``.
    """
    if n_prompt + max_tokens <= n_ctx:
        return
    added = (
        f" ({n_added} more than count() has: the model's BOS, see prompt_ids())" if n_added else ""
    )
    raise ContextOverflowError(
        f"the prompt is {n_prompt} tokens{added} and its answer may take {max_tokens}, "
        f"{n_prompt + max_tokens} in all, but the window is {n_ctx}: "
        f"{n_prompt + max_tokens - n_ctx} too many. Shorten the prompt, lower max_tokens, "
        "or construct with a larger target_ctx. Nothing was cut.",
        needed=n_prompt + max_tokens,
        available=n_ctx,
        n_ctx=n_ctx,
    )


class Writing:
    """One answer on its way: prefilled when constructed, then drawn token by token.

    ::

        while not writing.ended:
            writing.draw()                      # the next token, and the text that it shows
            session.advance(writing.last)       # unless that was the end

    Args:
        session: what stands in the cache.
        model: draws the tokens.
        prompt: token ids.
        settings: how the answer is drawn.
        pinned: tokens at the front that a sliding window keeps.
        on_progress: called after each prefilled batch.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        prompt: Sequence[int],
        settings: GenerationSettings,
        *,
        pinned: int = 0,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        if not prompt:
            raise RequestError("the prompt is empty; give at least one character")
        self.session = session
        self._model = model
        self._settings = settings
        self._n_prompt = len(prompt)
        self._started = time.monotonic()
        self._rescale_before, again_before = session.rescale_s, session.prefilled_again
        self._window_before, session.window.fallback = session.n_ctx, None
        matched = session.match(prompt)
        session.pin(pinned)
        # It grows when it must, and back when prompt and answer would do with less.
        session.shrink(session.n_tokens + len(prompt) - matched + settings.max_tokens)
        session.feed(prompt[matched:], on_progress=on_progress)
        prefilled_again = session.prefilled_again - again_before
        self._n_cached = max(0, min(matched, len(prompt) - 1) - prefilled_again)
        self._prefilled_at = time.monotonic()
        self._sampler = Sampler(
            model,
            SamplerParams(
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=random.getrandbits(32) if settings.seed is None else settings.seed,
                grammar=settings.grammar,
            ),
        )
        self._stream, self._watcher = TextStream(model), StopWatcher(settings.stop)
        self._shown = _Shown()
        self._ids: list[int] = []
        self._n_decoded = 0
        self._finish: Literal["stop", "length"] = "length"
        self._first_token_at: float | None = None
        self._stopped = False
        self.ended = False

    @property
    def last(self) -> int:
        """The token drawn last, which the session does not hold yet."""
        return self._ids[-1]

    def draw(self) -> Chunk | None:
        """Draw the token that follows; return what it lets be shown."""
        token = self.session.sample(self._sampler)
        self._first_token_at = self._first_token_at or time.monotonic()
        if self._model.is_end(token):
            self._finish, self.ended = "stop", True
            return None
        self._ids.append(token)
        if self._settings.top_logprobs is not None:
            logits, n_top = self.session.next_logits(), self._settings.top_logprobs
            self._shown.held.append(_sampled(self._model, logits, token, n_top, self._n_decoded))
        decoded = self._stream.feed([token])
        self._n_decoded += len(decoded)
        text, self._stopped = self._watcher.push(decoded)
        if self._stopped:
            self._finish = "stop"
        self.ended = self._stopped or len(self._ids) == self._settings.max_tokens
        return self._shown.show(text) if text else None

    def rest(self) -> Chunk | None:
        """After the end: what was held back, unless a stop string cut it off."""
        if self._stopped:
            return None
        rest = self._watcher.push(self._stream.flush())[0] + self._watcher.flush()
        return self._shown.end(rest) if rest or self._shown.held else None

    def outcome(self) -> Outcome:
        """What it was and cost, after :meth:`rest`."""
        ended, session = time.monotonic(), self.session
        return Outcome(
            text="".join(self._shown.pieces),
            ids=tuple(self._ids),
            logprobs=tuple(self._shown.logprobs),
            finish_reason=self._finish,
            usage=Usage(
                prompt_tokens=self._n_prompt,
                cached_tokens=self._n_cached,
                prefilled_tokens=self._n_prompt - self._n_cached,
                completion_tokens=len(self._ids),
            ),
            timings=Timings(
                prefill_s=self._prefilled_at - self._started,
                decode_s=ended - self._prefilled_at,
                ttft_s=(self._first_token_at or ended) - self._started,
                rescale_s=session.rescale_s - self._rescale_before,
            ),
            window=WindowReport(
                n_ctx=session.n_ctx,
                scale=session.scale,
                method=session.method,
                grew_from=self._window_before if session.n_ctx > self._window_before else None,
                dropped_tokens=session.dropped_tokens,
                method_changed=session.fallback,
            ),
        )

    def close(self) -> None:
        """Free the sampler. Idempotent."""
        self._sampler.close()


def generate(writing: Writing) -> Generator[Chunk, None, Outcome]:
    """Write one answer to its end.

    Yields:
        Text, each piece valid UTF-8, and the likelihood of the tokens that it shows.

    Returns:
        The :class:`Outcome`, as the generator's value.
    """
    try:
        while True:
            if chunk := writing.draw():
                yield chunk
            if writing.ended:
                break
            writing.session.advance(writing.last)
    finally:
        writing.close()
    if chunk := writing.rest():
        yield chunk
    return writing.outcome()


def generate_each(
    side_by_side: SideBySide,
    model: Model,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    on_progress: ProgressCallback | None,
) -> Iterator[tuple[int, Session, Outcome]]:
    """Answer several prompts, as many at once as there is room for.

    Yields:
        The prompt's index, the session that holds it and its answer, and the outcome.
    """
    meter = Meter(on_progress, sum(map(len, prompts)))
    for sessions in side_by_side.rounds(prompts, settings.max_tokens):
        begin = (
            Writing(session, model, prompts[i], settings, on_progress=meter.prompt(len(prompts[i])))
            for i, session in sessions.items()
        )
        outcomes = _write_together(begin)
        for (i, session), outcome in zip(sessions.items(), outcomes, strict=True):
            yield i, session, outcome
    meter.finish()


def _write_together(begin: Iterable[Writing]) -> list[Outcome]:
    """Write several answers, a token of each at a time; those in one cache share a batch.

    Args:
        begin: makes each, which prefills it; its first token is drawn before the next is made,
            while its logits are there.
    """
    writings: list[Writing] = []
    done: dict[int, Outcome] = {}
    try:
        for writing in begin:
            writings.append(writing)
            writing.draw()
        while True:
            for i, writing in enumerate(writings):
                if writing.ended and i not in done:
                    writing.rest()
                    done[i] = writing.outcome()
            going = [writing for writing in writings if not writing.ended]
            if not going:
                return [done[i] for i in range(len(writings))]
            advance_each([w.session for w in going], [w.last for w in going])
            for writing in going:
                writing.draw()
    finally:
        for writing in writings:
            writing.close()
