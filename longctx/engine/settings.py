"""How an answer is drawn, where it ends, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

from longctx.errors import ContextOverflowError


@dataclass(frozen=True)
class GenerationSettings:
    """How an answer is drawn and where it ends, checked (:mod:`longctx.arguments`)."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    top_logprobs: int | None = None
    prompt_lookup: bool | None = False


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
