"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longctx.types import Completion

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


_NATIVE = {
    "prompt_tokens": "Tokens that were prefilled.",
    "prompt_tokens_cached": "Tokens of prompts that were reused.",
    "prompt_seconds": "Seconds of prefill.",
    "tokens_predicted": "Tokens that were generated.",
    "tokens_predicted_seconds": "Seconds of generating them.",
}


class Metrics:
    """Counters of one server; tokens and seconds.

    Args:
        n_jobs: tells how many answers are under way or waiting.
    """

    def __init__(self, n_jobs: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "longctx_requests",
            "Requests answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self._tokens = Counter(
            "longctx_tokens",
            "Tokens: cached (of a prompt, reused), prefilled, generated, embedded, reranked.",
            ("kind", "model"),
            registry=self._registry,
        )
        self._dropped = Gauge(
            "longctx_dropped_tokens",
            "Tokens that had slid out of the window of the last answer.",
            ("model",),
            registry=self._registry,
        )
        self._compressed = Gauge(
            "longctx_compressed_tokens",
            "Tokens of the last answer's text of which each head keeps a share.",
            ("model",),
            registry=self._registry,
        )
        self._window = Gauge(
            "longctx_window_tokens",
            "Window of the last answer.",
            ("model",),
            registry=self._registry,
        )
        self._scale = Gauge(
            "longctx_window_scale",
            "Scale factor of the last answer.",
            ("model",),
            registry=self._registry,
        )
        self._ttft = Histogram(
            "longctx_time_to_first_token_seconds",
            "From the request to its first token, the wait included.",
            ("model",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._duration = Histogram(
            "longctx_request_seconds",
            "Whole requests.",
            ("path",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        waiting = Gauge("longctx_jobs", "Answers under way and waiting.", registry=self._registry)
        waiting.set_function(n_jobs)
        # What dashboards of llama-server show, of all models together.
        self._native = {
            name: Counter(f"llamacpp:{name}", text, registry=self._registry)
            for name, text in _NATIVE.items()
        }

    def answered(self, model: str, result: Completion) -> None:
        """Count an answer of a model."""
        usage, window, timings = result.usage, result.window, result.timings
        self._tokens.labels("cached", model).inc(usage.cached_tokens)
        self._tokens.labels("prefilled", model).inc(usage.prefilled_tokens)
        self._tokens.labels("generated", model).inc(usage.completion_tokens)
        for name, n in zip(
            _NATIVE,
            (
                usage.prefilled_tokens,
                usage.cached_tokens,
                timings.prefill_s,
                usage.completion_tokens,
                timings.decode_s,
            ),
            strict=True,
        ):
            self._native[name].inc(n)
        self._ttft.labels(model).observe(timings.waited_s + timings.ttft_s)
        self._window.labels(model).set(window.n_ctx)
        self._scale.labels(model).set(window.scale)
        self._dropped.labels(model).set(window.dropped_tokens)
        self._compressed.labels(model).set(window.compressed_tokens)

    def embedded(self, model: str, n_tokens: int) -> None:
        """Count the tokens of texts that were turned into vectors."""
        self._tokens.labels("embedded", model).inc(n_tokens)

    def reranked(self, model: str, n_tokens: int) -> None:
        """Count the tokens of texts that were put in order."""
        self._tokens.labels("reranked", model).inc(n_tokens)

    def requested(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._duration.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class CountRequests:
    """ASGI middleware: every request under its route's path, of which there are few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request when it is over, which whoever has the whole answer may rely on; one
        without an answer counts as 499."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started, is_counted = 499, time.monotonic(), False

        def count() -> None:
            nonlocal is_counted
            if not is_counted:
                path = getattr(scope.get("route"), "path", "other")
                self._metrics.requested(path, status, time.monotonic() - started)
            is_counted = True

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                count()  # before the client has the last of it, and asks for the metrics
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            count()
