"""How long an answer took, in the words of llama-server."""

from __future__ import annotations

from typing_extensions import TypedDict

from longctx.types import Completion


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
