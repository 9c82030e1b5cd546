"""How an answer is drawn, where it ends, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

from longctx.errors import BackendError, ContextOverflowError


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
