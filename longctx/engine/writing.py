"""One answer on its way from a prompt's token ids to its last token."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from longctx._native import Model, Sampler
from longctx.cache import Session
from longctx.channel import Cancelled, Channel
from longctx.engine.drafting import MAX_DRAFT, Foretold
from longctx.engine.repetition import MIN_TOKENS_IN_A_FORM, Repetition
from longctx.engine.settings import GenerationSettings
from longctx.engine.shown import Shown, sampled_token
from longctx.engine.stops import StopWatcher
from longctx.errors import RequestError
from longctx.grammar import Guide, TokenTable
from longctx.prompt import CompressedSpan
from longctx.stream import Event
from longctx.tokens import TextStream
from longctx.types import (
    Chunk,
    FinishDetail,
    Progress,
    SampledToken,
    Timings,
    Usage,
    WindowReport,
)

HEADROOM_TOKENS = 64
"""Of an answer, to begin where there are cells for so many."""


@dataclass(frozen=True)
class Outcome:
    """What one answer was and cost."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[SampledToken, ...]
    finish_reason: Literal["stop", "length"]
    finish_detail: FinishDetail | None
    stop_sequence: str | None
    usage: Usage
    timings: Timings
    window: WindowReport


class Hearing(Protocol):
    """Hears an answer piece by piece, and tells its pieces as what they are."""

    def push(self, chunk: Chunk) -> Sequence[Chunk]:
        """What a piece tells; nothing while it may be the beginning of a mark."""

    def end(self, chunk: Chunk | None = None) -> Sequence[Chunk]:
        """What is left, with the last piece."""


class Writing:
    """An answer that is asked for, under way, or done.

    ::

        writing.begin(session)
        while not writing.has_ended:
            ids = writing.next_ids(limit)       # of the prompt, then the token drawn last
            ...                                 # the session gets them
            writing.took(len(ids))              # draws the token that follows a whole prompt

    What may follow the token drawn last (:meth:`look`) can be in ``ids`` behind it, as a draft.

    Args:
        prompt: token ids.
        settings: how the answer is drawn.
        channel: who reads it.
        finish: makes the last chunk of the outcome.
        pinned: tokens at the front that a sliding window keeps.
        compressed: passages of the prompt that shall stand compressed, and no others.
        hearing: tells what the text is, as it comes; None tells it as it is, without the text
            of control tokens.

    Raises:
        RequestError: the prompt is empty.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        settings: GenerationSettings,
        channel: Channel[Event],
        finish: Callable[[Outcome], Chunk],
        *,
        pinned: int = 0,
        compressed: Sequence[CompressedSpan] = (),
        hearing: Hearing | None = None,
    ) -> None:
        if not prompt:
            raise RequestError("the prompt is empty; give at least one character")
        self.settings = settings
        self.asked = time.monotonic()
        self.session: Session | None = None
        self.compressed = compressed
        self._prompt = list(prompt)
        self._channel = channel
        self._finish = finish
        self._pinned = pinned
        self._hearing = hearing
        self._pending: Sequence[int] = ()
        self._ids: list[int] = []
        self.foretold = Foretold(self._prompt, settings.prompt_lookup)
        self._begun: _Begun | None = None
        self._ended_by: Literal["stop", "length"] = "length"
        self._detail: FinishDetail | None = None
        self._stopped = False
        self.has_ended = False

    # Before

    @property
    def ids(self) -> list[int]:
        """What must be in the cache before the next token is drawn: the prompt, and the tokens
        of an answer that was begun elsewhere."""
        return [*self._prompt, *self._ids]

    @property
    def n_left(self) -> int:
        """Tokens that the answer may still take."""
        return self.settings.max_tokens - len(self._ids)

    @property
    def n_expected(self) -> int:
        """Tokens that the window is opened for: fewer than are left, where only the window bounds
        the answer."""
        expected = self.settings.n_expected
        return self.n_left if expected is None else min(self.n_left, expected)

    @property
    def headroom(self) -> int:
        """Cells that it must find free beyond its prompt before it begins."""
        return min(self.n_left, HEADROOM_TOKENS)

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._channel.is_cancelled

    def begin(self, session: Session, model: Model, tokens: TokenTable) -> None:
        """Take a session, and keep of it what the prompt begins with.

        Raises:
            RequestError: the grammar names a token that the model does not have.
            ContextOverflowError: the pinned tokens leave too little of the window.
        """
        began = time.monotonic()
        ids = self.ids
        before = session.n_ctx
        rescale_s, again = session.rescale_s, session.prefilled_again
        session.window.fallback = None  # the report is of this answer's changes alone
        # One token at least is decoded, for the logits that follow it.
        matched = session.match(ids[:-1], self.compressed, whole=True)
        session.pin(self._pinned)
        # It grows when it must, and back when prompt and answer would do with less.
        session.shrink(session.n_tokens + len(ids) - matched + self.n_expected)
        self._pending = ids[matched:]
        session.reserve(len(self._pending))
        self.session = session
        # One that had to make way begins again elsewhere: sampler, grammar and text go on.
        if self._begun is None:
            again = session.prefilled_again - again
            self._begun = _Begun(
                at=began,
                window=before,
                rescale_s=rescale_s,
                n_cached=max(0, min(matched, len(self._prompt)) - again),
                n_to_prefill=len(self._pending),
                sampler=Sampler(model, self.settings.sampling, history=ids, n_ahead=self.n_left),
                guide=self.settings.guide(tokens) if self.settings.guide else None,
                model=model,
                text=TextStream(model, special=self._hearing is not None),
                stops=StopWatcher(self.settings.stop),
                repetition=_repetition(self.settings),
            )

    # Under way

    @property
    def n_pending(self) -> int:
        """Tokens to prefill before the next is drawn; 0 while it is being decoded."""
        return len(self._pending)

    def look(self) -> Foretold:
        """Foretell what may follow the token drawn last, as far as nothing else has to change."""
        self.foretold.look(self._ids, min(MAX_DRAFT, self.n_left - 1, self._session.room - 1))
        return self.foretold

    def next_ids(self, limit: int) -> Sequence[int]:
        """What the session gets next, at most ``limit`` tokens."""
        if self._pending:
            return self._pending[:limit]
        return [*self._ids[-1:], *self.foretold.ids[: limit - 1]]

    def took(self, n: int) -> None:
        """The session has the next ``n`` tokens; where that was all, draw the one that follows.

        Behind a draft, draw the one that follows each of its tokens as long as they are right,
        and take the others out of the session.

        Raises:
            Cancelled: nobody reads the answer any more.
        """
        begun = self._running
        if self._pending:
            self._pending = self._pending[n:]
            done = begun.n_to_prefill - len(self._pending)
            if not self._ids:
                self._channel.send(
                    Progress(
                        done_tokens=done,
                        total_tokens=begun.n_to_prefill,
                        elapsed_s=time.monotonic() - begun.at,
                        cached_tokens=begun.n_cached,
                    )
                )
            if self._pending:
                return
            begun.prefilled_at = begun.prefilled_at or time.monotonic()
            if not self.n_left:  # the prompt was to be read, and no more
                self.has_ended = True
                self._channel.check()
                return
            n = 1
        session, wrong = self._session, n - 1
        begun.n_drafted += wrong
        try:
            while self._draw(begun, wrong) and wrong:
                wrong -= 1
                begun.n_accepted += 1
        finally:
            # Whatever happened: tokens that nobody drew must not stand in the cache.
            if wrong:
                session.truncate(session.n_tokens - wrong)

    def _draw(self, begun: _Begun, back: int) -> bool:
        """Draw what follows the token so many before the last; whether a draft still holds."""
        session, guide = self._session, begun.guide
        mask = guide.mask() if guide else None
        token = session.sample(begun.sampler, back=back, mask=mask)
        begun.first_token_at = begun.first_token_at or time.monotonic()
        if begun.model.is_end(token):
            self._ended_by, self.has_ended = "stop", True
            return False
        if guide is not None:
            guide.accept(token)
        self._ids.append(token)
        is_right = self.foretold.is_right(token)
        if self.settings.top_logprobs is not None:
            logits, n_top = session.next_logits(back=back), self.settings.top_logprobs
            sampled = sampled_token(begun.model, logits, token, n_top, begun.n_decoded)
            begun.shown.held.append(sampled)
        decoded = begun.text.feed([token])
        begun.n_decoded += len(decoded)
        text, self._stopped = begun.stops.push(decoded)
        is_whole = guide is not None and guide.has_ended
        if self._stopped or is_whole:
            self._ended_by = "stop"
        self.has_ended = self._stopped or is_whole or self.n_left == 0
        if not self.has_ended and begun.repetition is not None and begun.repetition.take(token):
            self._detail, self.has_ended = "repetition", True
        self._tell(begun.shown.show(text) if text else None)
        return is_right and not self.has_ended

    def _tell(self, chunk: Chunk | None) -> None:
        if chunk is not None and self._hearing is not None:
            for heard in self._hearing.push(chunk):
                self._channel.send(heard)
        elif chunk is not None:
            self._channel.send(chunk)
        self._channel.check()

    def pause(self) -> Session:
        """Give the session back; :meth:`begin` goes on in another."""
        session = self._session
        self.session = None
        return session

    # The end

    def end(self) -> None:
        """After the last token: tell the rest, and the result."""
        begun = self._running
        # With finish(), not send(): what was written is told whether or not it is still read.
        chunk: Chunk | None = None
        if not self._stopped:
            rest = begun.stops.push(begun.text.flush())[0] + begun.stops.flush()
            chunk = begun.shown.end(rest) if rest or begun.shown.held else None
            if self._hearing is None and chunk is not None:
                self._channel.finish(chunk)
        if self._hearing is not None:
            for heard in self._hearing.end(chunk):
                self._channel.finish(heard)
        self._channel.finish(self._finish(self._outcome(begun)))
        begun.sampler.close()

    def fail(self, error: BaseException) -> None:
        """Tell the reader that there is no more, and why."""
        if not isinstance(error, Cancelled):
            self._channel.fail(error)
        if self._begun is not None:
            self._begun.sampler.close()

    def _outcome(self, begun: _Begun) -> Outcome:
        ended, session = time.monotonic(), self._session
        prefilled_at = begun.prefilled_at or ended
        return Outcome(
            text="".join(begun.shown.pieces),
            ids=tuple(self._ids),
            logprobs=tuple(begun.shown.logprobs),
            finish_reason=self._ended_by,
            finish_detail=self._detail,
            stop_sequence=begun.stops.reached,
            usage=Usage(
                prompt_tokens=len(self._prompt),
                cached_tokens=begun.n_cached,
                prefilled_tokens=len(self._prompt) - begun.n_cached,
                completion_tokens=len(self._ids),
                drafted_tokens=begun.n_drafted,
                accepted_tokens=begun.n_accepted,
            ),
            timings=Timings(
                waited_s=begun.at - self.asked,
                prefill_s=prefilled_at - begun.at,
                decode_s=ended - prefilled_at,
                ttft_s=(begun.first_token_at or ended) - self.asked,
                rescale_s=max(0.0, session.rescale_s - begun.rescale_s),
            ),
            window=WindowReport(
                n_ctx=session.n_ctx,
                scale=session.scale,
                method=session.method,
                grew_from=begun.window if session.n_ctx > begun.window else None,
                dropped_tokens=session.dropped_tokens,
                compressed_tokens=session.compressed_tokens,
                kept_share=session.kept_share,
                method_changed=session.fallback,
            ),
        )

    @property
    def _session(self) -> Session:
        assert self.session is not None, "the scheduler gives a session before anything else"
        return self.session

    @property
    def _running(self) -> _Begun:
        assert self._begun is not None, "the scheduler begins it before anything else"
        return self._begun


@dataclass
class _Begun:
    """What an answer has from its first session on: times, text, how it is drawn and held."""

    at: float
    window: int
    rescale_s: float
    n_cached: int
    n_to_prefill: int
    sampler: Sampler
    guide: Guide | None
    model: Model
    text: TextStream
    stops: StopWatcher
    repetition: Repetition | None
    shown: Shown = field(default_factory=Shown)
    n_decoded: int = 0
    n_drafted: int = 0
    n_accepted: int = 0
    prefilled_at: float | None = None
    first_token_at: float | None = None


def _repetition(settings: GenerationSettings) -> Repetition | None:
    if not settings.stop_on_repetition:
        return None
    is_held = settings.guide is not None
    return Repetition(min_tokens=MIN_TOKENS_IN_A_FORM) if is_held else Repetition()
