"""How long an answer took, and how far it is read, in the words of llama-server."""

from __future__ import annotations

from typing_extensions import TypedDict

from longctx.types import Completion, Progress


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


def native_timings(result: Completion) -> NativeTimings:
    """Those of an answer."""
    usage, prompt_s, decode_s = result.usage, result.timings.prefill_s, result.timings.decode_s
    n_decoded = max(0, usage.completion_tokens - 1)
    return {
        "cache_n": usage.cached_tokens,
        "prompt_n": usage.prefilled_tokens,
        "prompt_ms": prompt_s * 1000,
        "prompt_per_token_ms": _ratio(prompt_s * 1000, usage.prefilled_tokens),
        "prompt_per_second": _ratio(usage.prefilled_tokens, prompt_s),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": decode_s * 1000,
        "predicted_per_token_ms": _ratio(decode_s * 1000, n_decoded),
        "predicted_per_second": _ratio(n_decoded, decode_s),
    }


def _ratio(a: float, b: float) -> float:
    """0 where there is nothing to divide by, for JSON has no infinity."""
    return a / b if b else 0.0
