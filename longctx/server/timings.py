"""How long an answer took, and how far it is read, in the words of llama-server."""

from __future__ import annotations

import time

from typing_extensions import TypedDict

from longctx.types import Chunk, Completion, Progress


class NativeTimings(TypedDict):
    """Tokens and milliseconds of prefill and decode. The first token comes with the prefill, so
    that the rate of decoding is that of those behind it."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class PromptProgress(TypedDict):
    """How much of a prompt is read: of ``total`` tokens ``processed``, of which ``cache`` were
    there already; in ``time_ms``."""

    total: int
    cache: int
    processed: int
    time_ms: float


def prompt_progress(progress: Progress) -> PromptProgress:
    """That of an answer."""
    n_cached = progress.cached_tokens
    return {
        "total": n_cached + progress.total_tokens,
        "cache": n_cached,
        "processed": n_cached + progress.done_tokens,
        "time_ms": progress.elapsed_s * 1000,
    }


def from_the_start(progress: Progress, *, is_first: bool) -> tuple[Progress, ...]:
    """What llama-server tells of a prefill: before all else, what it begins with."""
    nothing = progress.model_copy(update={"done_tokens": 0, "elapsed_s": 0.0})
    return (nothing, progress) if is_first else (progress,)


def native_timings(result: Completion) -> NativeTimings:
    """Those of an answer."""
    usage, timings = result.usage, result.timings
    return _timings(
        usage.cached_tokens,
        usage.prefilled_tokens,
        timings.prefill_s,
        usage.completion_tokens,
        timings.decode_s,
    )


class TimingsSoFar:
    """Those of answers that are being written, as each piece comes; tokens are counted by their
    likelihoods, which the model must be asked for.

    Args:
        n: answers, side by side.
    """

    def __init__(self, n: int) -> None:
        self._progress = Progress(done_tokens=0, total_tokens=0, elapsed_s=0.0)
        self._n_written = [0] * n
        self._began: list[float | None] = [None] * n

    def read(self, progress: Progress) -> None:
        """So much of the prompt is read."""
        self._progress = progress

    @property
    def before(self) -> NativeTimings:
        """Before the first token."""
        read = self._progress
        return _timings(read.cached_tokens, read.done_tokens, read.elapsed_s, 0, 0.0)

    def wrote(self, index: int, chunk: Chunk) -> NativeTimings:
        """So much of an answer is written."""
        now = time.monotonic()
        began = self._began[index] = self._began[index] or now
        self._n_written[index] += len(chunk.logprobs)
        read = self._progress
        n_written = self._n_written[index]
        return _timings(
            read.cached_tokens, read.done_tokens, read.elapsed_s, n_written, now - began
        )


def _timings(
    n_cached: int, n_read: int, read_s: float, n_written: int, write_s: float
) -> NativeTimings:
    n_decoded = max(0, n_written - 1)
    return {
        "cache_n": n_cached,
        "prompt_n": n_read,
        "prompt_ms": read_s * 1000,
        "prompt_per_token_ms": _ratio(read_s * 1000, n_read),
        "prompt_per_second": _ratio(n_read, read_s),
        "predicted_n": n_written,
        "predicted_ms": write_s * 1000,
        "predicted_per_token_ms": _ratio(write_s * 1000, n_decoded),
        "predicted_per_second": _ratio(n_decoded, write_s),
    }


def _ratio(a: float, b: float) -> float:
    """0 where there is nothing to divide by, for JSON has no infinity."""
    return a / b if b else 0.0
